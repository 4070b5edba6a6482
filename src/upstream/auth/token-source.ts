/**
 * Bearer tokens (the distribution project's token specification): asked at the realm with service and scope, kept in
 * memory until shortly before they expire, asked once however many callers wait.
 */
import { ExpiringMap } from '../../lib/expiring-map.ts';
import { SingleFlight } from '../../lib/single-flight.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { CredentialProvider } from './credential-provider.ts';
import type { RealmAnswer, RealmClient } from './realm.ts';

export interface TokenSourceOptions {
  readonly key: string;
  readonly realms: Pick<RealmClient, 'ask'>;
  now(): number;
}

export interface TokenRequest {
  /** Checked by `checkRealm`. */
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scope: string;
  /** Undefined: anonymous. */
  readonly credentials: CredentialProvider | undefined;
  /** A token that was refused just now: any other will do. */
  readonly rejected?: string | undefined;
}

export interface Token {
  readonly value: string;
  /** Fetched for this caller (perhaps among others): a refusal of it is the last word. */
  readonly isFresh: boolean;
}

/** The specification's, for an answer without `expires_in`. */
const defaultLifeSeconds = 60;
const maxLifeSeconds = 24 * 3600;
/** Refreshed that long before it expires, at most a fifth of its life: a request takes its time too. */
const marginMs = 10_000;
const maxTokens = 4096;
const tokenPattern = /^[\x21-\x7e]+$/;

/** For one upstream, with its credentials and without. */
export class TokenSource {
  readonly #options: TokenSourceOptions;
  readonly #held: ExpiringMap<string, string>;
  readonly #fetches = new SingleFlight<string>();

  constructor(options: TokenSourceOptions) {
    const { now } = options;
    this.#options = options;
    this.#held = new ExpiringMap({ maxEntries: maxTokens, ttlMs: defaultLifeSeconds * 1000, now });
  }

  /** Errors: `UpstreamError` of kind `token`; the signal's reason (the request goes on for others). */
  async token(request: TokenRequest, signal: AbortSignal): Promise<Token> {
    const { realm, service, scope, credentials, rejected } = request;
    const key = JSON.stringify([realm.href, service, scope, credentials === undefined]);
    const held = this.#held.get(key);
    if (held !== undefined && held !== rejected) return { value: held, isFresh: false };
    const { value } = await this.#fetches.run(key, signal, () => this.#fetch(key, request));
    return { value, isFresh: true };
  }

  async #fetch(key: string, { realm, service, scope, credentials }: TokenRequest): Promise<string> {
    const url = new URL(realm);
    if (service !== undefined) url.searchParams.set('service', service);
    url.searchParams.set('scope', scope);
    const sent = await credentials?.get();
    const answer = await this.#options.realms.ask(url, sent?.authorization);
    const { token, lifeSeconds } = this.#parse(realm, answer);
    const lifeMs = lifeSeconds * 1000;
    this.#held.set(key, token, lifeMs - Math.min(marginMs, lifeMs / 5));
    return token;
  }

  #parse({ host }: URL, { status, bytes, complaint }: RealmAnswer): { token: string; lifeSeconds: number } {
    if (status === 401 || status === 403)
      throw this.#fail('denied', `${host} refused a token (${status}${complaint})`, status);
    if (status !== 200) throw this.#fail('status', `${host} gave no token (${status}${complaint})`, status);
    let body: unknown;
    try {
      body = JSON.parse(bytes.toString('utf8'));
    } catch {
      throw this.#fail('status', `expected of ${host} a token in JSON, got something else`, status);
    }
    const token = stringIn(body, 'token') ?? stringIn(body, 'access_token');
    if (token === undefined || !tokenPattern.test(token))
      throw this.#fail('status', `expected of ${host} a token, got an answer without one`, status);
    const life = fieldOf(body, 'expires_in');
    const isLife = typeof life === 'number' && Number.isFinite(life) && life > 0;
    return { token, lifeSeconds: isLife ? Math.min(life, maxLifeSeconds) : defaultLifeSeconds };
  }

  #fail(failure: 'denied' | 'status', message: string, upstreamStatus: number): UpstreamError {
    return new UpstreamError({
      upstream: this.#options.key,
      kind: 'token',
      failure,
      message,
      upstreamStatus,
    });
  }
}

function fieldOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? Reflect.get(value, key)
    : undefined;
}

function stringIn(value: unknown, key: string): string | undefined {
  const field = fieldOf(value, key);
  return typeof field === 'string' && field !== '' ? field : undefined;
}
