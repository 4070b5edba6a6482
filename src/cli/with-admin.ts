/**
 * What `stats`, `ls`, `refresh`, `evict`, `pin` and `unpin` share: the configuration says where the store is, the daemon
 * that has it is asked, and when none runs the store itself. Errors become a line on standard error and an exit code.
 */
import type { Admin } from '../admin/admin.ts';
import { type ImageHosts, imageHostsOf } from '../admin/image-name.ts';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { ConfigError } from '../config/problem.ts';
import type { Logger } from '../telemetry/logger.ts';
import { asCommandError } from './command-error.ts';
import type { Place } from './command-line.ts';
import { DaemonClient } from './daemon-client.ts';

export interface AdminOptions extends Place {
  /** One JSON document instead of text. */
  readonly json?: boolean;
  /** Get whole lines. */
  readonly write: (text: string) => void;
  readonly writeError: (text: string) => void;
}

export interface AdminWork {
  /** It changes the store. */
  readonly isChange: boolean;
  /** Looks at what was typed, before anything is asked or opened. Errors: NAME_INVALID and its like. */
  check(hosts: ImageHosts): void;
  /** Resolves with the exit code. */
  run(admin: Admin, signal: AbortSignal): Promise<number>;
}

/** Resolves with the exit code. */
export async function withAdmin(options: AdminOptions, work: AdminWork): Promise<number> {
  const { writeError } = options;
  try {
    const { config, warnings } = await loadConfig(options);
    for (const warning of warnings) writeError(`warning: ${warning}\n`);
    work.check(imageHostsOf(config));
    const door = await openDoor(config, work.isChange, warningsTo(writeError));
    try {
      return await work.run(door.admin, new AbortController().signal);
    } finally {
      await door.close();
    }
  } catch (error) {
    if (error instanceof ConfigError) {
      writeError(`${error.message}\n`);
      return 2;
    }
    const known = asCommandError(error);
    if (known === undefined) throw error;
    writeError(`error: ${known.message}\n`);
    return known.exitCode;
  }
}

async function openDoor(
  config: Config,
  isChange: boolean,
  logger: Logger,
): Promise<{ readonly admin: Admin; close(): Promise<void> }> {
  const client = await DaemonClient.find(config.store.path);
  if (client !== undefined) return { admin: client, close: () => client.close() };
  const { openStoreAdmin } = await import('../app/store-admin.ts');
  return openStoreAdmin(config, { logger, isChange });
}

/** Of a store that is read here: what is wrong with it is worth a line, what goes well isn't. */
function warningsTo(writeError: (text: string) => void): Logger {
  const warn = (message: string, fields: object = {}) =>
    writeError(`warning: ${message} ${JSON.stringify(fields)}\n`);
  const logger: Logger = { debug: () => {}, info: () => {}, warn, error: warn, child: () => logger };
  return logger;
}
