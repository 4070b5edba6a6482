/**
 * Bearer tokens (the distribution project's token specification): asked at the realm with service and scope, kept in
 * memory until shortly before they expire, asked once however many callers wait.
 */
import { ExpiringMap } from '../../lib/expiring-map.ts';
import { SingleFlight } from '../../lib/single-flight.ts';
import type { Repository } from '../../oci/name.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Credentials } from './credential-provider.ts';
import type { RealmAnswer, RealmClient } from './realm.ts';
import type { UpstreamLogin } from './upstream-login.ts';

export interface TokenSourceOptions {
  readonly key: string;
  readonly realms: Pick<RealmClient, 'ask'>;
  now(): number;
}

export interface TokenRequest {
  /** Checked by `checkRealm`. */
  readonly realm: URL;
  readonly service: string | undefined;
  /** At least one. */
  readonly scopes: readonly string[];
  /** Whose content is asked for: its login is refused or accepted. */
  readonly repository: Repository;
  /** Undefined: anonymous. */
  readonly login: UpstreamLogin | undefined;
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
    const { realm, service, scopes, login, rejected } = request;
    const key = JSON.stringify([realm.href, service, scopes, login?.id ?? null]);
    const held = this.#held.get(key);
    if (held !== undefined && held !== rejected) return { value: held, isFresh: false };
    const { value } = await this.#fetches.run(key, signal, () => this.#fetch(key, request));
    return { value, isFresh: true };
  }

  async #fetch(key: string, request: TokenRequest): Promise<string> {
    const { repository, login } = request;
    const credentials = await login?.current(repository);
    if (login === undefined || credentials === undefined) {
      const { token, lifeSeconds } = this.#parse(request, await this.#ask(request, undefined));
      // the credentials that were missing just now may be there soon
      this.#hold(key, token, login === undefined ? lifeSeconds : Math.min(lifeSeconds, defaultLifeSeconds));
      return token;
    }
    const { answer, sent } = await this.#askWith(request, login, credentials);
    if (isRefusal(answer)) await this.#explainRefusal(request, login, sent, answer);
    const { token, lifeSeconds } = this.#parse(request, answer);
    login.accepted();
    this.#hold(key, token, lifeSeconds);
    return token;
  }

  /** Refused credentials may have been rotated: the ones that are there now are tried once. */
  async #askWith(
    request: TokenRequest,
    login: UpstreamLogin,
    credentials: Credentials,
  ): Promise<{ readonly answer: RealmAnswer; readonly sent: Credentials }> {
    const answer = await this.#ask(request, credentials);
    const other = isRefusal(answer) ? await login.another(credentials) : undefined;
    if (other === undefined) return { answer, sent: credentials };
    return { answer: await this.#ask(request, other), sent: other };
  }

  /**
   * 401 is about the credentials. 403 may be about the scope instead: then it is also refused without
   * credentials. Errors: `UpstreamError` credentials when they are what is refused.
   */
  async #explainRefusal(
    request: TokenRequest,
    login: UpstreamLogin,
    sent: Credentials,
    answer: RealmAnswer,
  ): Promise<void> {
    if (answer.status === 403) {
      const anonymous = await this.#ask(request, undefined);
      if (anonymous.status !== 200) return;
    }
    throw login.refused(request.repository, sent, { host: request.realm.host, ...answer });
  }

  #ask({ realm, service, scopes }: TokenRequest, credentials: Credentials | undefined): Promise<RealmAnswer> {
    return this.#options.realms.ask({ realm, service, scopes, credentials });
  }

  #hold(key: string, token: string, lifeSeconds: number): void {
    const lifeMs = lifeSeconds * 1000;
    this.#held.set(key, token, lifeMs - Math.min(marginMs, lifeMs / 5));
  }

  #parse(
    { realm: { host } }: TokenRequest,
    answer: RealmAnswer,
  ): { readonly token: string; readonly lifeSeconds: number } {
    const { status, bytes, complaint } = answer;
    if (isRefusal(answer))
      throw this.#fail('denied', `${host} refused a token (${status}${complaint})`, status);
    if (status !== 200) throw this.#fail('status', `${host} gave no token (${status}${complaint})`, status);
    let body: unknown;
    try {
      body = JSON.parse(bytes.toString('utf8'));
    } catch {
      throw this.#fail('status', `${host} was asked for a token, and its answer is no JSON`, status);
    }
    const token = stringIn(body, 'token') ?? stringIn(body, 'access_token');
    if (token === undefined || !tokenPattern.test(token))
      throw this.#fail('status', `${host} was asked for a token, and its answer has none`, status);
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

function isRefusal({ status }: RealmAnswer): boolean {
  return status === 401 || status === 403;
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
