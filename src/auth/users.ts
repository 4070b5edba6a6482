/**
 * Who somebody is: Basic credentials against the bcrypt hashes of an htpasswd file. At most two are computed at once, and
 * what turned out right is remembered for a minute under a keyed hash of name, password and the file's own hash: never in
 * clear, not for longer than the file says so, and for nobody to compare outside this process.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { compare } from 'bcrypt';
import { ExpiringMap } from '../lib/expiring-map.ts';
import { Limit, LimitExceeded } from '../lib/limit.ts';
import { RegistryError } from '../oci/error.ts';
import type { Credentials } from './basic.ts';

import type { Htpasswd } from './htpasswd.ts';

export interface UsersOptions {
  /** As the file is now. */
  load(): Promise<Htpasswd>;
  /** Milliseconds since the epoch. */
  now(): number;
  /** bcrypt's, where it isn't a test's. */
  readonly compare?: (password: string, hash: string) => Promise<boolean>;
}

const rememberMs = 60_000;
const maxRemembered = 1000;
const hashingLimit = { maxRunning: 2, maxWaiting: 64 };
/** Of no password. */
const nobodysHash = `$2b$10$${'.'.repeat(53)}`;

export class Users {
  readonly #options: UsersOptions;
  readonly #key = randomBytes(32);
  /** Credentials that were right, under the keyed hash. */
  readonly #verified: ExpiringMap<string, true>;
  readonly #running = new Map<string, Promise<boolean>>();
  readonly #hashing = new Limit(hashingLimit);

  constructor(options: UsersOptions) {
    this.#options = options;
    this.#verified = new ExpiringMap({ maxEntries: maxRemembered, ttlMs: rememberMs, now: options.now });
  }

  /** Errors: UNAVAILABLE when too many log in at once. */
  async areRight(credentials: Credentials): Promise<boolean> {
    const { hashes } = await this.#options.load();
    const hash = hashes.get(credentials.name);
    const sealed = this.#seal([credentials.name, credentials.password, hash ?? '']);
    if (this.#verified.has(sealed)) return true;
    let running = this.#running.get(sealed);
    if (running === undefined) {
      const [anyHash = nobodysHash] = hashes.values(); // a name that doesn't exist takes as long as one that does
      running = this.#verify(credentials.password, hash, anyHash).finally(() => this.#running.delete(sealed));
      this.#running.set(sealed, running);
    }
    const isRight = await running;
    if (isRight) this.#verified.set(sealed, true);
    return isRight;
  }

  async #verify(password: string, hash: string | undefined, anyHash: string): Promise<boolean> {
    const check = this.#options.compare ?? compare;
    try {
      const isSame = await this.#hashing.run(() => check(password, hash ?? anyHash));
      return isSame && hash !== undefined;
    } catch (error) {
      if (!(error instanceof LimitExceeded)) throw error;
      throw new RegistryError('UNAVAILABLE', { message: 'too many logins at once, try again in a moment' });
    }
  }

  #seal(parts: readonly string[]): string {
    return createHmac('sha256', this.#key).update(JSON.stringify(parts)).digest('base64');
  }
}
