/**
 * What is wrong with a configuration, and where. All problems of one load are reported together. A message says what was
 * expected and what came; it never shows a secret.
 */

/** Keys of sections and positions in lists, from the top of the configuration. */
export type Path = readonly (string | number)[];

export interface Problem {
  /** The file as the user named it, or `environment:CISTERN_X`. */
  readonly origin: string;
  /** Both count from 1; absent for the environment and for files that can't be read. */
  readonly line?: number;
  readonly column?: number;
  /** Dotted, as in `upstreams.docker.io.url` or `http.listen[1]`; empty: the whole file. */
  readonly path: string;
  readonly message: string;
}

/** The configuration can't be used; its message is one formatted problem per line. Exit code 2. */
export class ConfigError extends Error {
  /** In the order of the file, then of the environment. Never empty. */
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'));
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** The one error of the value parsers. It never leaves this room: the loader turns it into a problem with a place. */
export class ValueError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ValueError';
  }
}

/** `expected EXPECTED, got VALUE`. Not for secrets: texts are quoted. */
export function refusal(expected: string, got: unknown): ValueError {
  return new ValueError(`expected ${expected}, got ${describeValue(got)}`);
}

/** How a message names a value. Not for secrets: texts are quoted. */
export function describeValue(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a section with keys';
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value === 'number') return `the number ${value}`;
  return String(value);
}

/** `FILE:LINE:COL: path: message`, or `environment:CISTERN_X: path: message`. */
export function formatProblem(problem: Problem): string {
  const place = problem.line === undefined ? '' : `:${problem.line}:${problem.column ?? 1}`;
  const path = problem.path === '' ? '' : ` ${problem.path}:`;
  return `${problem.origin}${place}:${path} ${problem.message}`;
}

/** `FILE:LINE:COL: path: warning: message`. The configuration can be used. */
export function formatWarning(problem: Problem): string {
  return formatProblem({ ...problem, message: `warning: ${problem.message}` });
}

/** `http.listen[1]`, `upstreams.docker.io.url`; empty for the whole file. */
export function formatPath(path: Path): string {
  return path.reduce<string>((text, segment) => {
    if (typeof segment === 'number') return `${text}[${segment}]`;
    return text === '' ? segment : `${text}.${segment}`;
  }, '');
}

export function isSection(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value at `path` in a tree of plain values; undefined when there is none. */
export function valueAt(tree: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, segment) => {
    if (Array.isArray(value)) return typeof segment === 'number' ? value[segment] : undefined;
    return isSection(value) && Object.hasOwn(value, segment) ? value[segment] : undefined;
  }, tree);
}
