/**
 * Collects the problems of one load and gives each its place: the variable that set the value, else line and column in
 * the file, else the nearest section above that the file has.
 */
import type { ConfigDocument, Place } from './document.ts';
import { formatPath, type Path, type Problem, valueAt } from './problem.ts';

/** What is wrong: the value, or that the key is there at all. */
export type Blame = 'key' | 'value';

/** Where problems without a line are sorted. */
const lastLine = Number.MAX_SAFE_INTEGER;

export class Findings {
  readonly #document: ConfigDocument;
  readonly #tree: unknown;
  /** By formatted path. */
  readonly #variables: ReadonlyMap<string, string>;
  readonly #problems: Problem[];

  /**
   * `tree`: the document's with the environment's values in it. `variables`: which variable set the value at a
   * path (`formatPath`).
   */
  constructor(document: ConfigDocument, tree: unknown, variables: ReadonlyMap<string, string>) {
    this.#document = document;
    this.#tree = tree;
    this.#variables = variables;
    this.#problems = [...document.problems];
  }

  report(path: Path, message: string, blame: Blame = 'value'): void {
    this.#problems.push(this.place(path, message, blame));
  }

  /** A problem or a warning at its place, which isn't reported. */
  place(path: Path, message: string, blame: Blame = 'value'): Problem {
    const held = this.#heldPath(path);
    const place = this.#document.locate(held, blame);
    const variable = this.#variableAt(held) ?? (place === undefined ? this.#variableBelow(held) : undefined);
    const position =
      variable === undefined
        ? { origin: this.#document.origin, ...(place ?? this.#placeAbove(held)) }
        : { origin: `environment:${variable}` };
    return { ...position, path: formatPath(held), message };
  }

  /** For a variable that belongs to no single setting. */
  reportVariable(variable: string, message: string): void {
    this.#problems.push({ origin: `environment:${variable}`, path: '', message });
  }

  /** In the order of the file, then those of the environment by variable. */
  list(): readonly Problem[] {
    return this.#problems.toSorted(
      (one, other) =>
        (one.line ?? lastLine) - (other.line ?? lastLine) ||
        (one.column ?? 0) - (other.column ?? 0) ||
        Number(one.origin > other.origin) - Number(one.origin < other.origin),
    );
  }

  /** Short forms count as long ones in the schema (`listen: x` is a list of one); problems name what was written. */
  #heldPath(path: Path): Path {
    for (let length = 1; length < path.length; length++) {
      const value = valueAt(this.#tree, path.slice(0, length));
      if (value !== undefined && typeof value !== 'object') return path.slice(0, length);
    }
    return path;
  }

  #variableAt(path: Path): string | undefined {
    for (let length = path.length; length > 0; length--) {
      const variable = this.#variables.get(formatPath(path.slice(0, length)));
      if (variable !== undefined) return variable;
    }
    return undefined;
  }

  #variableBelow(path: Path): string | undefined {
    const prefix = `${formatPath(path)}.`;
    return [...this.#variables].find(([setting]) => setting.startsWith(prefix))?.[1];
  }

  #placeAbove(path: Path): Place {
    for (let length = path.length - 1; length > 0; length--) {
      const place = this.#document.locate(path.slice(0, length), 'key');
      if (place !== undefined) return place;
    }
    return { line: 1, column: 1 };
  }
}

/** `username` needs a password, and the password is in one of two keys. `prefix`: of the three keys in `section`. */
export function checkPassword(
  path: Path,
  section: Readonly<Record<string, unknown>>,
  prefix: string,
  findings: Findings,
): void {
  const [username, password, file] = [`${prefix}username`, `${prefix}password`, `${prefix}password_file`];
  const isGiven = (key: string): boolean => section[key] !== undefined;
  if (isGiven(password) && isGiven(file))
    findings.report([...path, file], `give either ${password} or ${file}, not both`, 'key');
  if (isGiven(username) && !isGiven(password) && !isGiven(file))
    findings.report([...path, username], `needs ${password} or ${file}`, 'key');
}
