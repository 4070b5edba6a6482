/**
 * Names and passwords checked against the providers, in their order. What was right is remembered for five minutes under a keyed hash,
 * never in clear; what is wrong costs a token of its address and name, and without tokens nothing is hashed. An unknown name takes as
 * long as a known one.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { ExpiringMap } from '../../lib/expiring-map.ts';
import { RegistryError } from '../../oci/error.ts';
import { WrongCredentials } from '../refusals.ts';
import type { Credentials } from './credentials.ts';
import type { CheckedIdentity, Identity, IdentityProvider } from './identity-provider.ts';
import { bucketNameOf, LoginBuckets } from './login-buckets.ts';

/** One login that was checked, or refused unchecked. */
export interface LoginEvent {
  /** `none`: no provider knows the name, or none was asked. */
  readonly source: IdentityProvider['source'] | 'none';
  readonly result: 'right' | 'wrong' | 'throttled' | 'unavailable';
  /** Of names that a provider knows. Others may be a password in the wrong field. */
  readonly user: string | undefined;
  readonly address: string;
  /** For the log: of throttled logins only the first since the bucket got empty. */
  readonly isNews: boolean;
}

export interface LoginsOptions {
  /** At least one. */
  readonly providers: readonly IdentityProvider[];
  onLogin(event: LoginEvent): void;
  /** Milliseconds since the epoch. */
  now(): number;
  /** How long the answer to a throttled login waits. */
  readonly throttledMs?: number;
}

export interface CheckOptions {
  /**
   * The caller gets anonymous rights when the credentials are not right: those of another registry are then no failed login, and
   * are neither counted nor reported.
   */
  readonly isLenient?: boolean;
}

type Outcome =
  | { readonly kind: 'right'; readonly identity: CheckedIdentity }
  | { readonly kind: 'wrong' | 'unavailable'; readonly source: IdentityProvider['source'] }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'throttled'; readonly retryAfterSeconds: number; readonly isFirst: boolean };

interface From {
  readonly address: string;
  readonly version: string;
}

type Refused = Exclude<Outcome, { readonly kind: 'right' }>;

const rememberMs = 5 * 60_000;
const maxRemembered = 10_000;
const throttledMs = 1000;

export class Logins {
  readonly #options: LoginsOptions;
  readonly #key = randomBytes(32);
  /** By keyed hashes of credentials. */
  readonly #right: ExpiringMap<string, Identity>;
  /** Those that need not be hashed again where nothing depends on them. */
  readonly #wrong: ExpiringMap<string, true>;
  readonly #buckets: LoginBuckets;
  readonly #running = new Map<string, Promise<Outcome>>();

  constructor(options: LoginsOptions) {
    const map = { maxEntries: maxRemembered, ttlMs: rememberMs, now: options.now };
    this.#options = options;
    this.#right = new ExpiringMap(map);
    this.#wrong = new ExpiringMap(map);
    this.#buckets = new LoginBuckets(options.now);
  }

  /**
   * Undefined: not right, only with `isLenient`. `address`: the client's.
   * Errors: `WrongCredentials`; UNAVAILABLE when a provider can't say, or too many log in at once. None with `isLenient`.
   */
  async check(
    credentials: Credentials,
    address = '',
    { isLenient = false }: CheckOptions = {},
  ): Promise<Identity | undefined> {
    const version = await this.versionOf(credentials.name);
    const key = this.#keyOf(credentials, version);
    const remembered = this.#right.get(key);
    if (remembered !== undefined) return remembered;
    if (isLenient && (credentials.password === '' || this.#wrong.has(key))) return undefined;
    try {
      const outcome = await this.#decideOnce(key, credentials, { address, version });
      if (outcome.kind === 'right') return outcome.identity;
      this.#report(outcome, credentials.name, address, isLenient);
      if (isLenient) return undefined;
      throw await this.#refusal(outcome, credentials.name);
    } catch (error) {
      if (isLenient && error instanceof RegistryError) return undefined;
      throw error;
    }
  }

  /** False: no provider has the name any more. True also where one can't say without the password. */
  async mayBeUser(name: string): Promise<boolean> {
    const answers = this.#options.providers.map(provider => provider.hasUser?.(name) ?? true);
    return (await Promise.all(answers)).includes(true);
  }

  #decideOnce(key: string, credentials: Credentials, from: From): Promise<Outcome> {
    const runningKey = `${from.address} ${key}`; // the same credentials from a busy address would have to wait in its line
    const running = this.#running.get(runningKey);
    if (running !== undefined) return running;
    const started = this.#decide(key, credentials, from).finally(() => this.#running.delete(runningKey));
    this.#running.set(runningKey, started);
    return started;
  }

  async #decide(key: string, credentials: Credentials, { address, version }: From): Promise<Outcome> {
    const bucket = JSON.stringify([address, bucketNameOf(credentials.name), version]); // another password begins anew
    const taken = this.#buckets.take(bucket);
    if (!taken.isTaken) return { kind: 'throttled', ...taken };
    let isWrong = false;
    try {
      const outcome = await this.#ask(credentials, address);
      isWrong = outcome.kind === 'wrong' || outcome.kind === 'unknown';
      if (isWrong) this.#wrong.set(key, true);
      if (outcome.kind === 'right')
        this.#right.set(
          key,
          outcome.identity,
          Math.min(rememberMs, outcome.identity.rememberMs ?? rememberMs),
        );
      return outcome;
    } finally {
      if (!isWrong) this.#buckets.giveBack(bucket);
    }
  }

  async #ask(credentials: Credentials, address: string): Promise<Outcome> {
    const { providers, onLogin } = this.#options;
    for (const provider of credentials.password === '' ? [] : providers) {
      const { source } = provider;
      const found = await provider.check(credentials, address);
      if (found === undefined) continue;
      if (found === 'wrong') await this.#pretend(credentials, address, provider);
      if (typeof found === 'string') return { kind: found, source };
      onLogin({ source, result: 'right', user: found.user, address, isNews: false });
      return { kind: 'right', identity: found };
    }
    await this.#pretend(credentials, address);
    return { kind: 'unknown' };
  }

  /** What `but` has done already is not done again: a wrong password costs the same, whichever provider knows the name, or none. */
  async #pretend({ password }: Credentials, address: string, but?: IdentityProvider): Promise<void> {
    for (const provider of this.#options.providers)
      if (provider !== but) await provider.pretend?.(password, address);
  }

  #report(outcome: Refused, name: string, address: string, isLenient: boolean): void {
    const { kind } = outcome;
    const isKnown = kind === 'wrong' || kind === 'unavailable';
    if (!isKnown && isLenient) return;
    this.#options.onLogin({
      source: isKnown ? outcome.source : 'none',
      result: kind === 'unknown' ? 'wrong' : kind,
      user: kind === 'wrong' ? name : undefined,
      address,
      isNews: kind !== 'throttled' || outcome.isFirst,
    });
  }

  async #refusal(outcome: Refused, name: string): Promise<RegistryError> {
    if (outcome.kind === 'unavailable')
      return new RegistryError('UNAVAILABLE', {
        message: 'logins cannot be checked now, try again in a moment',
      });
    if (outcome.kind !== 'throttled')
      return new WrongCredentials({ user: outcome.kind === 'wrong' ? name : undefined });
    const known = await Promise.all(this.#options.providers.map(provider => provider.hasUser?.(name)));
    await delay(this.#options.throttledMs ?? throttledMs);
    return new WrongCredentials({
      user: known.includes(true) ? name : undefined,
      retryAfterSeconds: outcome.retryAfterSeconds,
    });
  }

  /** Changes with the user's entry, so that an old password is forgotten with it. */
  async versionOf(name: string): Promise<string> {
    return JSON.stringify(
      await Promise.all(this.#options.providers.map(provider => provider.versionOf(name))),
    );
  }

  #keyOf({ name, password }: Credentials, version: string): string {
    const text = JSON.stringify([name, password, version]);
    return createHmac('sha256', this.#key).update(text).digest('base64');
  }
}
