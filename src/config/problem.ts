/**
 * What is wrong with a configuration, and where. All problems of one load are reported together, so that a file is
 * put right in one go. Messages say what was expected and what came; never a secret.
 */

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

/** `FILE:LINE:COL: path: message`, or `environment:CISTERN_X: path: message`. */
export function formatProblem(problem: Problem): string {
  const place = problem.line === undefined ? '' : `:${problem.line}:${problem.column ?? 1}`;
  const path = problem.path === '' ? '' : ` ${problem.path}:`;
  return `${problem.origin}${place}:${path} ${problem.message}`;
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
