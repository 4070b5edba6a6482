/**
 * Users of an htpasswd file. At most two hashes are computed at once, and one where the event loop would be left without a core;
 * client addresses take turns: many wrong logins of one address don't keep the others waiting. The file is handed in as it is now, so a changed one counts at the next login.
 */
import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { FairQueue } from '../../lib/fair-queue.ts';
import { TimeSlice } from '../../lib/time-slice.ts';
import { tooManyLogins } from '../refusals.ts';
import type { Credentials } from './credentials.ts';
import type { IdentityCheck, IdentityProvider } from './identity-provider.ts';
import { isPasswordOf, type PasswordHash, parsePasswordHash } from './password-hash.ts';

export interface Htpasswd {
  readonly hashes: ReadonlyMap<string, PasswordHash>;
  /** Lines that are not used. A message never repeats what the line says. */
  readonly flaws: readonly { readonly line: number; readonly message: string }[];
}

const linesPerLook = 128;

/** The last of two lines for one name counts, as in a file that was appended to. In slices: a file may have 100,000 lines. */
export async function parseHtpasswd(text: string): Promise<Htpasswd> {
  const slice = new TimeSlice();
  const hashes = new Map<string, PasswordHash>();
  const flaws: { line: number; message: string }[] = [];
  for (let number = 1, at = 0; at < text.length; number += 1) {
    const end = text.indexOf('\n', at);
    const line = text.slice(at, end === -1 ? undefined : end).trim();
    at = end === -1 ? text.length : end + 1;
    if (number % linesPerLook === 0) await slice.pause();
    if (line === '' || line.startsWith('#')) continue;
    const colon = line.indexOf(':');
    const hash = colon < 1 ? 'expected NAME:HASH' : parsePasswordHash(line.slice(colon + 1));
    if (typeof hash === 'string') flaws.push({ line: number, message: hash });
    else hashes.set(line.slice(0, colon), hash);
  }
  return { hashes, flaws };
}

export interface HtpasswdUsersOptions {
  /** The file as it is now. */
  load(): Promise<Htpasswd>;
  /** Of this machine, or of a test. */
  readonly cores?: number;
  /** In place of the real hashes, for tests. */
  readonly isPasswordOf?: typeof isPasswordOf;
}

/** So many wait per address, and in all. */
const hashingLimit = { maxWaitingPerKey: 64, maxWaiting: 512, full: tooManyLogins };
const maxHashing = 2;
/** Matches no password, and costs as much as the hashes that `cistern user add` writes. */
const unmatched: PasswordHash = { text: `$2b$10$${'.'.repeat(53)}`, kind: 'bcrypt' };

export class HtpasswdUsers implements IdentityProvider {
  readonly source = 'htpasswd';
  readonly #options: HtpasswdUsersOptions;
  readonly #hashing: FairQueue;

  constructor(options: HtpasswdUsersOptions) {
    const { cores = availableParallelism() } = options;
    this.#options = options;
    const maxRunning = Math.max(1, Math.min(maxHashing, cores - 1));
    this.#hashing = new FairQueue({ ...hashingLimit, maxRunning });
  }

  async check({ name, password }: Credentials, address: string): Promise<IdentityCheck> {
    const { hashes } = await this.#options.load();
    const hash = hashes.get(name);
    if (hash === undefined) return undefined;
    return (await this.#verify(hash, password, address)) ? { user: name, groups: [] } : 'wrong';
  }

  /** With the hash of some user: files are mostly of one kind. */
  async pretend(password: string, address: string): Promise<void> {
    const { hashes } = await this.#options.load();
    const [hash = unmatched] = hashes.values();
    await this.#verify(hash, password, address);
  }

  async versionOf(name: string): Promise<string> {
    const { hashes } = await this.#options.load();
    const hash = hashes.get(name);
    return hash === undefined ? '' : createHash('sha256').update(hash.text).digest('base64');
  }

  async hasUser(name: string): Promise<boolean> {
    return (await this.#options.load()).hashes.has(name);
  }

  async #verify(hash: PasswordHash, password: string, address: string): Promise<boolean> {
    const verify = this.#options.isPasswordOf ?? isPasswordOf;
    return this.#hashing.run(address, () => verify(hash, password));
  }
}
