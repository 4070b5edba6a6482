/**
 * Logins against an htpasswd file with bcrypt hashes (`htpasswd -B`). At most two hashes are computed at once, and client
 * addresses take turns: many wrong logins of one address don't keep the others waiting. A right password is remembered for a minute under a keyed hash of name, password and the file's own hash, never in clear.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { compare } from 'bcrypt';
import { ExpiringMap } from '../lib/expiring-map.ts';
import { FairQueue } from '../lib/fair-queue.ts';
import { RegistryError } from '../oci/error.ts';
import type { Credentials } from './identity/credentials.ts';

export interface Htpasswd {
  /** Name to bcrypt hash, in the spelling that the library takes (`$2b$`). */
  readonly hashes: ReadonlyMap<string, string>;
  /** Lines that are not used. A message never repeats what the line says. */
  readonly flaws: readonly { readonly line: number; readonly message: string }[];
}

/** Apache writes `$2y$` for the algorithm that other programs call `$2b$`. */
const bcryptPattern = /^\$2([aby])(\$\d{2}\$[./A-Za-z0-9]{53})$/;
/** Each step doubles the work: with 17 one login would take half a minute. */
const maxCost = 16;

/** The last of two lines for one name counts, as in a file that was appended to. Other hashes are too fast to guess. */
export function parseHtpasswd(text: string): Htpasswd {
  const hashes = new Map<string, string>();
  const flaws: { line: number; message: string }[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const colon = line.indexOf(':');
    const [, kind, rest = ''] = bcryptPattern.exec(line.slice(colon + 1)) ?? [];
    if (colon < 1) {
      flaws.push({ line: index + 1, message: 'expected NAME:HASH' });
    } else if (kind === undefined) {
      flaws.push({ line: index + 1, message: 'expected a bcrypt hash (htpasswd -B), got something else' });
    } else if (Number(rest.slice(1, 3)) > maxCost) {
      flaws.push({ line: index + 1, message: `expected a bcrypt cost of at most ${maxCost}, got more` });
    } else {
      hashes.set(line.slice(0, colon), `$2${kind === 'y' ? 'b' : kind}${rest}`);
    }
  }
  return { hashes, flaws };
}

export interface UsersOptions {
  /** The file as it is now. */
  load(): Promise<Htpasswd>;
  /** Milliseconds since the epoch. */
  now(): number;
  /** In place of bcrypt's, for tests. */
  readonly compare?: (password: string, hash: string) => Promise<boolean>;
}

const rememberMs = 60_000;
const maxRemembered = 1000;
/** So many wait per address, and in all. */
const hashingLimit = { maxRunning: 2, maxWaitingPerKey: 64, maxWaiting: 512 };
/** Matches no password. */
const unmatchedHash = `$2b$10$${'.'.repeat(53)}`;

export class Users {
  readonly #options: UsersOptions;
  readonly #key = randomBytes(32);
  /** Keyed hashes of credentials that were right. */
  readonly #verified: ExpiringMap<string, true>;
  readonly #running = new Map<string, Promise<boolean>>();
  readonly #hashing = new FairQueue(hashingLimit);

  constructor(options: UsersOptions) {
    this.#options = options;
    this.#verified = new ExpiringMap({ maxEntries: maxRemembered, ttlMs: rememberMs, now: options.now });
  }

  /** `address`: the client's. Errors: UNAVAILABLE when too many log in at once, from there or in all. */
  async areRight({ name, password }: Credentials, address = ''): Promise<boolean> {
    const { hashes } = await this.#options.load();
    const hash = hashes.get(name);
    const key = this.#keyedHash([name, password, hash ?? '']);
    if (this.#verified.has(key)) return true;
    const runningKey = `${address} ${key}`; // the same credentials from a busy address would have to wait in its line
    let running = this.#running.get(runningKey);
    if (running === undefined) {
      const [anyHash = unmatchedHash] = hashes.values(); // an unknown name takes as long as a known one
      running = this.#verify(address, password, hash, anyHash).finally(() =>
        this.#running.delete(runningKey),
      );
      this.#running.set(runningKey, running);
    }
    const isRight = await running;
    if (isRight) this.#verified.set(key, true);
    return isRight;
  }

  async #verify(
    address: string,
    password: string,
    hash: string | undefined,
    anyHash: string,
  ): Promise<boolean> {
    const check = this.#options.compare ?? compare;
    const isSame = this.#hashing.run(address, () => check(password, hash ?? anyHash));
    if (isSame === undefined)
      throw new RegistryError('UNAVAILABLE', { message: 'too many logins at once, try again in a moment' });
    return (await isSame) && hash !== undefined;
  }

  #keyedHash(parts: readonly string[]): string {
    return createHmac('sha256', this.#key).update(JSON.stringify(parts)).digest('base64');
  }
}
