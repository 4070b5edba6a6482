/**
 * `cistern serve`: configuration, logger, mirror, signals. Resolves with the exit code when the process is to end: 0 after a
 * drain, 1 after a failure, 2 for a configuration that can't be used.
 */
import { type ProcessEvents, runUntilSignal } from '../app/lifecycle.ts';
import type { Config } from '../config/config.ts';
import { type LoadOptions, loadConfig } from '../config/load.ts';
import { ConfigError } from '../config/problem.ts';
import { createLogger, type RootLogger } from '../log.ts';

export interface ServeOptions extends LoadOptions {
  readonly process: ProcessEvents & { readonly pid: number };
  /** Gets the problems of a configuration that can't be used. */
  readonly writeError: (text: string) => void;
  /** Gets the lines of the log. Left out: standard output. */
  readonly writeLog?: (line: string) => void;
}

export async function serve(options: ServeOptions): Promise<number> {
  let config: Config;
  let logger: RootLogger;
  try {
    const loaded = await loadConfig(options);
    config = loaded.config;
    const { level, format } = config.log;
    logger = createLogger({
      level,
      format,
      ...(options.writeLog !== undefined && { write: options.writeLog }),
    });
    logger.info('starting', { config: loaded.source });
    for (const warning of loaded.warnings) logger.warn(warning);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    options.writeError(`${error.message}\n`);
    return 2;
  }
  return run(config, logger, options);
}

async function run(config: Config, logger: RootLogger, options: ServeOptions): Promise<number> {
  const { process } = options;
  // The handlers come first: a signal during a slow start must end it too.
  const starting = import('../app/mirror.ts').then(({ startMirror }) => startMirror(config, { logger }));
  return new Promise(resolve => {
    const handlers = runUntilSignal({
      process,
      logger,
      drainMs: config.http.drainMs,
      close: async drain => (await starting).close(drain),
      exit: resolve,
    });
    starting.then(
      mirror => {
        const { cacheLimit } = mirror;
        for (const url of mirror.urls) logger.info('listening', { url, pid: process.pid, cacheLimit });
      },
      (error: unknown) => {
        handlers.stop();
        const isRefused = error instanceof ConfigError;
        if (!isRefused) logger.error('the mirror could not start', { error });
        logger.flush();
        if (isRefused) options.writeError(`${error.message}\n`);
        resolve(isRefused ? 2 : 1);
      },
    );
  });
}
