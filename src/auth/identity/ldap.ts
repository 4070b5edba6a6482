/**
 * Users of an LDAP directory. A right password is remembered for five minutes under a keyed hash, never in clear; while the directory is
 * away, for `staleIfDownMs`. An empty password never reaches it. No login waits longer than three seconds.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { ExpiringMap } from '../../lib/expiring-map.ts';
import { SingleFlight } from '../../lib/single-flight.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Credentials } from './credentials.ts';
import type { CheckedIdentity, Identity, IdentityCheck, IdentityProvider } from './identity-provider.ts';
import type { LdapServer } from './ldap-connection.ts';
import { askDirectory, type LdapDirectory } from './ldap-lookup.ts';
import { LdapPool } from './ldap-pool.ts';

export interface LdapUsersOptions {
  readonly servers: readonly LdapServer[];
  readonly directory: LdapDirectory;
  readonly staleIfDownMs: number;
  /** Milliseconds since the epoch. */
  now(): number;
  /** The directory can't be asked, or refuses the account that searches. Called once until it answers again. */
  onTrouble(error: unknown): void;
  /** It answers again. */
  onRecovered(): void;
  /** Two entries have the name: the filter should find one. */
  onAmbiguous(name: string): void;
  /**
   * A name as the directory spells it belongs to another provider that goes first: `BOB` of the directory is not `bob` of htpasswd.
   * Absent: there is no other.
   */
  isTaken?(user: string): Promise<boolean>;
  /** Instead of three seconds, for tests. */
  readonly deadlineMs?: number;
}

const rememberMs = 300_000;
const maxRemembered = 10_000;
/** After a failure, users who are remembered don't wait for the directory again for so long. */
const pauseMs = 5000;
const defaultDeadlineMs = 3000;
/** Longer than any name of a directory. */
const maxNameLength = 256;

export class LdapUsers implements IdentityProvider {
  readonly source = 'ldap';
  readonly #options: LdapUsersOptions;
  readonly #deadlineMs: number;
  readonly #pool: LdapPool;
  readonly #key = randomBytes(32);
  readonly #right: ExpiringMap<string, Identity>;
  readonly #asking = new SingleFlight<IdentityCheck>();
  #failedAtMs: number | undefined;

  constructor(options: LdapUsersOptions) {
    this.#options = options;
    this.#deadlineMs = options.deadlineMs ?? defaultDeadlineMs;
    this.#pool = new LdapPool({ servers: options.servers, deadlineMs: this.#deadlineMs });
    this.#right = new ExpiringMap({ maxEntries: maxRemembered, ttlMs: rememberMs, now: options.now });
  }

  async check(credentials: Credentials, address: string): Promise<IdentityCheck> {
    const { name, password } = credentials;
    if (password === '') return 'wrong';
    if (name.trim() === '' || name.length > maxNameLength || name.includes('\0')) return undefined;
    const key = this.#keyedHash(credentials);
    const remembered = this.#remembered(key, this.#isPausing() ? this.#options.staleIfDownMs : rememberMs);
    if (remembered !== undefined) return remembered;
    const signal = AbortSignal.timeout(this.#deadlineMs);
    // By address too: the same credentials from a busy address would have to wait in its line.
    const flightKey = `${address} ${key}`;
    try {
      const { value } = await this.#asking.run(flightKey, signal, () =>
        this.#ask(credentials, address, signal),
      );
      if (value === undefined || typeof value === 'string') this.#right.delete(key);
      else this.#right.set(key, value);
      this.#reached();
      return this.#remembered(key, rememberMs) ?? value;
    } catch (error) {
      if (error instanceof RegistryError) throw error;
      this.#failed(error);
      return this.#remembered(key, this.#options.staleIfDownMs) ?? 'unavailable';
    }
  }

  /** What is remembered ends by time alone: a directory doesn't tell of changes. */
  async versionOf(): Promise<string> {
    return '';
  }

  /** Connections are closed when they are not used any more. */
  close(): void {
    this.#pool.close();
  }

  async #ask(credentials: Credentials, address: string, signal: AbortSignal): Promise<IdentityCheck> {
    const { directory, isTaken } = this.#options;
    const answer = await this.#pool.use(address, signal, (connection, left) =>
      askDirectory(directory, credentials, connection, left),
    );
    if (answer === undefined || answer === 'wrong') return answer;
    if (answer === 'ambiguous') {
      this.#options.onAmbiguous(credentials.name);
      return 'wrong';
    }
    if (answer.user !== credentials.name && (await isTaken?.(answer.user))) return 'wrong';
    return answer;
  }

  /** Undefined: it was not right within `maxAgeMs`, or five minutes. Others may remember it until then, or until the pause ends. */
  #remembered(key: string, maxAgeMs: number): CheckedIdentity | undefined {
    const known = this.#right.getExpired(key);
    if (known === undefined) return undefined;
    const ageMs = this.#options.now() - known.setAtMs;
    if (ageMs < 0 || ageMs >= Math.max(maxAgeMs, rememberMs)) return undefined;
    const leftMs = known.isFresh ? rememberMs - ageMs : Math.min(pauseMs, maxAgeMs - ageMs);
    return { ...known.value, rememberMs: leftMs };
  }

  #isPausing(): boolean {
    if (this.#failedAtMs === undefined) return false;
    const sinceMs = this.#options.now() - this.#failedAtMs;
    return sinceMs >= 0 && sinceMs < pauseMs;
  }

  #failed(error: unknown): void {
    if (this.#failedAtMs === undefined) this.#options.onTrouble(error);
    this.#failedAtMs = this.#options.now();
  }

  #reached(): void {
    if (this.#failedAtMs !== undefined) this.#options.onRecovered();
    this.#failedAtMs = undefined;
  }

  #keyedHash({ name, password }: Credentials): string {
    return createHmac('sha256', this.#key)
      .update(JSON.stringify([name, password]))
      .digest('base64');
  }
}
