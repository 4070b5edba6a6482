/**
 * `cistern serve`: configuration, logger, mirror, signals. Resolves with the exit code when the process is to end: 0 after a
 * drain, 1 after a failure, 2 for a configuration that can't be used.
 */
import { basename, relative } from 'node:path';
import { type ProcessEvents, runUntilSignal } from '../app/lifecycle.ts';
import type { Mirror } from '../app/mirror.ts';
import type { Config } from '../config/config.ts';
import { type LoadOptions, loadConfig } from '../config/load.ts';
import { ConfigError } from '../config/problem.ts';
import { formatBytes, formatTable } from '../lib/format.ts';
import { createLogger, type RootLogger } from '../log.ts';
import { describeStartFailure } from './start-failure.ts';
import { startWatchdog } from './watchdog.ts';

export interface ServeOptions extends LoadOptions {
  readonly process: ProcessEvents & { readonly pid: number };
  /** For the banner; standard output is a terminal. Left out: it isn't. */
  readonly terminal?: Pick<BannerOptions, 'version' | 'command'>;
  /** Gets the problems of a configuration that can't be used, and why the start failed. */
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
    const { level } = config.log;
    const { terminal, env } = options;
    logger = createLogger({
      level,
      format: logFormatOf(config, options),
      colour: terminal !== undefined && (env['NO_COLOR'] ?? '') === '',
      ...(options.writeLog !== undefined && { write: options.writeLog }),
    });
    logger.info('starting', { config: loaded.source });
    for (const warning of loaded.warnings) logger.warn(warning);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    options.writeError(`${error.message}\n`);
    return 2;
  }
  const stopWatchdog = startWatchdog({ env: options.env, pid: options.process.pid, logger });
  return run(config, logger, options).finally(stopWatchdog);
}

async function run(config: Config, logger: RootLogger, options: ServeOptions): Promise<number> {
  const { process } = options;
  // The handlers come first: a signal during a slow start must end it too.
  const starting = import('../app/mirror.ts').then(({ startMirror }) =>
    startMirror(config, { logger, print: line => logger.print(line) }),
  );
  return new Promise(resolve => {
    const handlers = runUntilSignal({
      process,
      logger,
      drainMs: config.http.drainMs,
      close: async drain => (await starting).close(drain),
      reload: () => reload(options, logger, starting),
      exit: resolve,
    });
    starting.then(
      mirror => {
        const { cacheLimit, urls } = mirror;
        const { terminal } = options;
        if (terminal !== undefined && logFormatOf(config, options) === 'text') {
          logger.print(formatBanner({ ...terminal, urls, config, cacheLimit }));
          return;
        }
        for (const url of urls) logger.info('listening', { url, pid: process.pid, cacheLimit });
      },
      async (error: unknown) => {
        handlers.stop();
        const isRefused = error instanceof ConfigError;
        if (!isRefused) logger.debug('the mirror could not start', { error });
        logger.flush();
        const reason = isRefused ? error.message : await describeStartFailure(error, config);
        options.writeError(`${reason}\n`);
        resolve(isRefused ? 2 : 1);
      },
    );
  });
}

/** A configuration that can't be used changes nothing. Never rejects. */
async function reload(options: LoadOptions, logger: RootLogger, starting: Promise<Mirror>): Promise<void> {
  try {
    const { config, warnings } = await loadConfig(options);
    for (const warning of warnings) logger.warn(warning);
    await (await starting).reload(config);
  } catch (error) {
    const problem = error instanceof ConfigError ? { problems: error.message } : { error };
    logger.error('configuration not reloaded, the running one stays', problem);
  }
}

function logFormatOf({ log }: Config, { terminal }: ServeOptions): 'json' | 'text' {
  if (log.format !== 'auto') return log.format;
  return terminal !== undefined ? 'text' : 'json';
}

interface BannerOptions {
  readonly version: string;
  /** At least one. */
  readonly urls: readonly string[];
  readonly config: Pick<Config, 'upstreams' | 'defaultUpstream' | 'offline' | 'store'>;
  readonly cacheLimit: { readonly bytes: number; readonly reason: string };
  /** How this user calls the command line: `cistern`. */
  readonly command: string;
}

/** What a start on a terminal says when the mirror is ready: where it is, what it mirrors, and what to do next. */
function formatBanner({ version, urls, config, cacheLimit, command }: BannerOptions): string {
  const upstreams = [...config.upstreams.keys()].join(', ');
  const limit = Number.isFinite(cacheLimit.bytes) ? `at most ${formatBytes(cacheLimit.bytes)}` : 'no limit';
  const rows = [
    ['address', urls.join(', ')],
    ['upstreams', config.offline ? `${upstreams} (offline: none is asked)` : upstreams],
    ['limit', `${limit} in ${config.store.path} (${cacheLimit.reason})`],
    ['page', `${urls[0]}/`],
    ['next', `${command} client docker`],
  ];
  return `\nCistern ${version} is ready. Ctrl-C ends it.\n\n${formatTable(rows.map(row => ['', ...row]))}\n`;
}

/** `script`: as Node was told it. An installed command is a link with its own name. */
export function commandName(script: string, cwd: string): string {
  if (basename(script) === 'cistern') return 'cistern';
  return `node ${relative(cwd, script) || script}`;
}
