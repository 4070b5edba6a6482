/**
 * `cistern check`: is the configuration usable, and what does it come to? No network, no secrets in the output.
 */

export interface CheckOptions {
  /** `--config`. */
  readonly file?: string;
  /** `--upstreams`: asks the upstreams too. Not in this version. */
  readonly upstreams?: boolean;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** Gets the report, lines and all. */
  readonly write: (text: string) => void;
}

/** Resolves with the exit code: 0 usable, 2 not. */
export async function runCheck(options: CheckOptions): Promise<number> {
  options.write('not built yet\n');
  return 2;
}
