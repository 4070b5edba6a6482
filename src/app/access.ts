/**
 * Who may what, put together from the configuration: the users of the htpasswd file, read again when it changes, and the
 * rules over canonical names.
 */
import { Access } from '../auth/access.ts';
import { parseHtpasswd } from '../auth/htpasswd.ts';
import { Rules } from '../auth/rules.ts';
import { Users } from '../auth/users.ts';
import type { AccessConfig } from '../config/config.ts';
import { WatchedFile } from '../config/watched-file.ts';
import { allowRepositories } from '../registry/caller.ts';
import type { Logger } from '../telemetry/logger.ts';

export interface AccessOptions {
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
}

export function createAccess(config: AccessConfig, options: AccessOptions): Access {
  const rules = config.rules?.map(rule => ({ ...rule, matches: allowRepositories(rule.repositories, []) }));
  return new Access({
    users: config.htpasswd === undefined ? undefined : openUsers(config.htpasswd, options),
    rules: new Rules(rules),
  });
}

function openUsers(path: string, { logger, now }: AccessOptions): Users {
  const file = new WatchedFile({
    path,
    now: () => performance.now(),
    parse: text => {
      const parsed = parseHtpasswd(text);
      for (const flaw of parsed.flaws) logger.warn('a line of htpasswd is not used', { file: path, ...flaw });
      logger.info('htpasswd is read', { file: path, users: parsed.hashes.size });
      return parsed;
    },
    onTrouble: error => logger.warn('htpasswd cannot be read, what it said before counts', { error }),
  });
  return new Users({ now, load: () => file.current() });
}
