/**
 * A YAML file as a tree of plain values in which every key and value can be found again by line and column.
 * Anchors, aliases and merge keys are fine; several documents, keys given twice and unknown tags are problems.
 * An empty file is an empty tree, and a key without a value counts as absent.
 */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type YAMLError,
} from 'yaml';
import { describeYamlMistake } from './hints/yaml-mistake.ts';
import { formatPath, isSection, type Path, type Problem } from './problem.ts';

export interface Place {
  readonly line: number;
  readonly column: number;
}

/** What YAML allows and a configuration doesn't. */
interface Flaw {
  /** Offset in the file, in characters. */
  readonly offset: number;
  readonly path: Path;
  readonly message: string;
  /** The tree can't be built. */
  readonly isFatal: boolean;
}

export class ConfigDocument {
  /** The file as the user named it. */
  readonly origin: string;
  readonly problems: readonly Problem[];
  /** Undefined when no tree can be built; then there are `problems`. */
  readonly tree: unknown;
  readonly #document: Document.Parsed;
  readonly #lines = new LineCounter();

  constructor(origin: string, text: string) {
    this.origin = origin;
    // prettyErrors would quote the source, and the source may hold passwords
    const options = {
      lineCounter: this.#lines,
      prettyErrors: false,
      merge: true,
      uniqueKeys: false,
    } as const;
    this.#document = parseDocument(text, options);
    const { errors, warnings } = this.#document;
    const isReadable = errors.every(({ code }) => code === 'MULTIPLE_DOCS');
    const flaws = isReadable ? findFlaws(this.#document, this.#lines) : [];
    const problems = [
      ...onePerLine([...errors, ...warnings], this.#lines).map(error => this.#syntaxProblem(error, text)),
      ...flaws.map(flaw => this.#problem(flaw.offset, flaw.path, flaw.message)),
    ];
    if (isReadable && !flaws.some(flaw => flaw.isFatal)) {
      try {
        this.tree = withoutNull(this.#document.toJS()) ?? {};
      } catch (error) {
        if (!(error instanceof ReferenceError)) throw error;
        problems.push(this.#problem(0, [], 'too many aliases of aliases'));
      }
    }
    this.problems = problems.filter(
      (problem, index) => !problems.slice(0, index).some(earlier => isSamePlace(problem, earlier)),
    );
  }

  /**
   * Where the key or the value at `path` stands; through aliases: where their anchor stands. Undefined when the file
   * doesn't have it.
   */
  locate(path: Path, target: 'key' | 'value'): Place | undefined {
    let node: unknown = this.#document.contents;
    let key: unknown;
    for (const segment of path) {
      const holder = isAlias(node) ? node.resolve(this.#document) : node;
      if (isSeq(holder) && typeof segment === 'number') {
        [key, node] = [undefined, holder.items[segment]];
      } else {
        const pair = isMap(holder) ? this.#findPair(holder.items, String(segment)) : undefined;
        [key, node] = [pair?.key, pair?.value];
      }
      if (key === undefined && node === undefined) return undefined;
    }
    const hasValue = node !== undefined && node !== null && !(isScalar(node) && node.value === null);
    return this.#place(startOf(key !== undefined && (target === 'key' || !hasValue) ? key : node));
  }

  /** The last one wins, as in the tree; a merged section comes after all own keys. */
  #findPair(pairs: readonly Pair[], name: string): Pair | undefined {
    const own = pairs.findLast(({ key }) => isScalar(key) && String(key.value) === name);
    if (own !== undefined) return own;
    for (const { key, value } of pairs) {
      if (!isMergeKey(key)) continue;
      for (const part of isSeq(value) ? value.items : [value]) {
        const merged = isAlias(part) ? part.resolve(this.#document) : part;
        const found = isMap(merged) ? this.#findPair(merged.items, name) : undefined;
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }

  #syntaxProblem({ code, message, pos: [offset] }: YAMLError, text: string): Problem {
    const found = this.#problem(offset, [], '');
    if (code === 'MULTIPLE_DOCS')
      return { ...found, message: 'expected one document, got a second one after ---' };
    if (code === 'TAG_RESOLVE_FAILED')
      return { ...found, message: 'unknown tag (a text that begins with ! needs quotes)' };
    const { line = 1 } = found;
    const mistake = describeYamlMistake({ code, message, line }, text);
    return { ...found, ...mistake, column: mistake.line === line ? (found.column ?? 1) : 1 };
  }

  #problem(offset: number, path: Path, message: string): Problem {
    return { origin: this.origin, ...this.#place(offset), path: formatPath(path), message };
  }

  #place(offset: number): Place {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  }
}

/** The parser often says the same of one mistake in several ways. */
function onePerLine(errors: readonly YAMLError[], lines: LineCounter): readonly YAMLError[] {
  const lineOf = (error: YAMLError): number => lines.linePos(error.pos[0]).line;
  return errors.filter(
    (error, index) => !errors.slice(0, index).some(earlier => lineOf(earlier) === lineOf(error)),
  );
}

function isSamePlace(one: Problem, other: Problem): boolean {
  return one.line === other.line && one.column === other.column;
}

function withoutNull(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(item => (item === null ? null : withoutNull(item)));
  if (!isSection(value)) return value ?? undefined;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, withoutNull(child)]));
}

/** In the order of the file. */
function findFlaws(document: Document.Parsed, lines: LineCounter): readonly Flaw[] {
  const flaws: Flaw[] = [];

  function visitNode(node: unknown, path: Path, above: readonly unknown[]): void {
    if (isAlias(node)) visitAlias(node, path, above);
    if (isMap(node)) visitPairs(node.items, path, [...above, node]);
    if (isSeq(node))
      for (const [index, item] of node.items.entries()) visitNode(item, [...path, index], [...above, node]);
  }

  function visitAlias(alias: Node, path: Path, above: readonly unknown[]): void {
    const target = isAlias(alias) ? alias.resolve(document) : undefined;
    if (target !== undefined && !above.includes(target)) return;
    // the name isn't repeated: a password that begins with * ends up here
    const message =
      target === undefined
        ? 'no anchor of that name before this alias (a text that begins with * needs quotes)'
        : 'an alias inside of what it stands for';
    flaws.push({ offset: startOf(alias), path, message, isFatal: true });
  }

  function visitPairs(pairs: readonly Pair[], path: Path, above: readonly unknown[]): void {
    const first = new Map<string, unknown>();
    for (const { key, value } of pairs) {
      if (!isScalar(key) || key.value === null) {
        const message = 'expected a plain word as key (a text that begins with { or [ needs quotes)';
        flaws.push({ offset: startOf(key), path, message, isFatal: true });
        continue;
      }
      if (isMergeKey(key)) {
        if (!isMergeable(value)) {
          flaws.push({ offset: startOf(value), path, message: 'expected sections after <<', isFatal: true });
        }
        visitNode(value, path, above);
        continue;
      }
      const name = String(key.value);
      const earlier = first.get(name);
      if (earlier === undefined) first.set(name, key);
      else {
        const message = `given twice; first on line ${lines.linePos(startOf(earlier)).line}`;
        flaws.push({ offset: startOf(key), path: [...path, name], message, isFatal: false });
      }
      visitNode(value, [...path, name], above);
    }
  }

  function isMergeable(value: unknown): boolean {
    const parts = isSeq(value) ? value.items : [value];
    return parts.every(part => isMap(isAlias(part) ? part.resolve(document) : part));
  }

  visitNode(document.contents, [], []);
  return flaws;
}

/** A plain `<<`, which the parser turns into a symbol; a quoted one is a key like any other. */
function isMergeKey(key: unknown): boolean {
  return isScalar(key) && typeof key.value === 'symbol';
}

/** Offset at which a node begins. */
function startOf(node: unknown): number {
  const range = isScalar(node) || isAlias(node) || isMap(node) || isSeq(node) ? node.range : undefined;
  return range?.[0] ?? 0;
}
