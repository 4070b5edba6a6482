/**
 * Loads the configuration: file, then environment, then defaults. Finds every problem before it gives up.
 */
import type { Config } from './config.ts';
import { ConfigError } from './problem.ts';

export interface LoadOptions {
  /** `--config`; it must exist. Without it `CISTERN_CONFIG`, then `mirror.yml` in `cwd`, which may be missing. */
  readonly file?: string;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
}

export interface LoadedConfig {
  readonly config: Config;
  /** Sentences for the log: unknown `CISTERN_*` variables and choices that may surprise. */
  readonly warnings: readonly string[];
  /** Absolute path of the file that was read, or `defaults`. */
  readonly source: string;
}

/** Errors: `ConfigError` with all problems. */
export async function loadConfig(options: LoadOptions): Promise<LoadedConfig> {
  throw new ConfigError([{ origin: options.file ?? 'mirror.yml', path: '', message: 'not built yet' }]);
}
