/**
 * A token realm: which may be dialled, and the request to it. Many callers may wait for one such request, so it has a
 * deadline of its own; a realm that gives no answer is not asked again for a while. Its trouble is not the registry's: the
 * breaker hears nothing of it.
 */
import type { Timers } from '../../lib/wait.ts';
import { HUB } from '../../oci/name.ts';
import { UpstreamError, type UpstreamFailure } from '../../registry/upstream-error.ts';
import type { Health } from '../health/health.ts';
import { formatUsedUp } from '../health/rate-limit.ts';
import { Deadline } from '../request/deadline.ts';
import { type RecentFailures, slowMs } from '../request/recent-failures.ts';
import { isRedirect, resolveRedirect, sendWithRetry, startAttempt } from '../request/redirects.ts';
import { BodyTooLarge, drain, readBody, readComplaint } from '../transport/body.ts';
import { DialRefusal, hostAndPort, portOf } from '../transport/dial.ts';
import { type Hop, type HopAnswer, headerOf, type Transport } from '../transport/transport.ts';
import type { Credentials } from './credential-provider.ts';

const maxBytes = 64 * 1024;
const maxRedirects = 5;

/** Registries whose tokens come from another host of the same owner, by the registry's host. */
const knownTokenHosts: ReadonlyMap<string, string> = new Map([
  [HUB, 'auth.docker.io'],
  ['registry.gitlab.com', 'gitlab.com'],
  ['docker.elastic.co', 'docker-auth.elastic.co'],
  ['registry.digitalocean.com', 'api.digitalocean.com'],
  ['lscr.io', 'ghcr.io'],
]);

export interface RealmPolicy {
  /** The upstream's own. */
  readonly url: URL;
  /** `host` or `host:port`. */
  readonly tokenHosts: readonly string[];
}

/**
 * The realm of a challenge as a URL without userinfo and fragment. The realm gets the credentials: it must be on the
 * upstream's own host, the one that is known of that registry, or in `token_hosts`; others aren't asked at all, not even anonymously.
 * Errors: `DialRefusal`.
 */
export function checkRealm(realm: string, policy: RealmPolicy): URL {
  if (!URL.canParse(realm)) throw new DialRefusal(`${policy.url.host} names a token realm that is no URL`);
  const url = new URL(realm);
  if (url.protocol !== 'https:' && (url.protocol !== 'http:' || policy.url.protocol === 'https:'))
    throw new DialRefusal(`the token realm ${url.protocol}//${url.host} is not asked: it is not on https`);
  if (!isAllowedHost(url, policy)) {
    const allowed = `${policy.url.host} and in token_hosts`;
    throw new DialRefusal(`the token realm ${url.host} is not asked: only realms on ${allowed} are`);
  }
  url.username = '';
  url.password = '';
  url.hash = '';
  return url;
}

function isAllowedHost(url: URL, policy: RealmPolicy): boolean {
  const own = policy.url.hostname;
  if (url.hostname === own) return true;
  const known = knownTokenHosts.get(own.endsWith(`.${HUB}`) ? HUB : own);
  if (url.protocol === 'https:' && url.host === known) return true;
  return policy.tokenHosts.some(host => [url.hostname, url.host].includes(host.toLowerCase()));
}

export interface RealmRequest {
  /** Checked by `checkRealm`. */
  readonly realm: URL;
  readonly service: string | undefined;
  /** Each becomes a parameter of its own. */
  readonly scopes: readonly string[];
  /** Undefined: anonymous. */
  readonly credentials: Credentials | undefined;
}

export interface RealmAnswer {
  readonly status: number;
  /** At most 64 KiB; empty unless the status is 200. */
  readonly bytes: Buffer;
  /** What a refusal says, for messages: `: CODE text`, or nothing. */
  readonly complaint: string;
}

export interface RealmClientOptions {
  readonly key: string;
  readonly transport: Transport;
  readonly health: Health;
  /** Of realms, under `realm HOST:PORT/PATH`. */
  readonly failures: RecentFailures;
  readonly timers: Timers;
  readonly timeoutMs: number;
  now(): number;
}

export class RealmClient {
  readonly #options: RealmClientOptions;

  constructor(options: RealmClientOptions) {
    this.#options = options;
  }

  /** One token request. No caller ends it. Errors: `UpstreamError` of kind `token`, also for 429 and 5xx. */
  async ask(request: RealmRequest): Promise<RealmAnswer> {
    const { health, failures, timers, timeoutMs, now } = this.#options;
    const { realm: url } = request;
    const memory = `realm ${hostAndPort(url)}${url.pathname}`;
    failures.throwIfFailed(memory, 'token');
    const pausedUntil = health.pausedUntil('token');
    if (pausedUntil !== undefined) throw this.#fail('paused', formatUsedUp(url.host, pausedUntil));
    const startedMs = now();
    const expired = () => this.#fail('timeout', `${url.host} gave no token within ${timeoutMs} ms`);
    const deadline = new Deadline({ timeoutMs, timers, expired });
    try {
      return await this.#send(request, deadline.signal);
    } catch (error) {
      const failure = deadline.signal.aborted ? deadline.signal.reason : this.#explain(error, url);
      const isSilent = deadline.signal.aborted || now() - startedMs >= slowMs;
      if (isSilent) failures.remember(memory, failure); // a quick refusal costs no time
      throw failure;
    } finally {
      deadline.dispose();
    }
  }

  async #send(request: RealmRequest, signal: AbortSignal): Promise<RealmAnswer> {
    const answer = await this.#follow(buildHop(request, signal), signal);
    const { host } = request.realm;
    const { status } = answer;
    if (status === 200) return { status, bytes: await readBody(answer, maxBytes), complaint: '' };
    if (status === 429) throw await this.#pause(request.realm, answer);
    const complaint = await readComplaint(answer);
    if (status < 500) return { status, bytes: Buffer.alloc(0), complaint };
    throw this.#fail('status', `${host} answered ${status} to the request for a token${complaint}`, {
      upstreamStatus: status,
    });
  }

  /** A realm may move on its own host (RFC 9110 15.4); the credentials go to no other. Errors: `DialRefusal`. */
  async #follow(first: Hop, signal: AbortSignal): Promise<HopAnswer> {
    const { transport, timers } = this.#options;
    for (let hop = first, redirects = 0; ; redirects += 1) {
      const sent = hop;
      const answer = await sendWithRetry(startAttempt(), () => transport.send(sent), timers, signal);
      const isKept = answer.status === 307 || answer.status === 308;
      if (!isRedirect(answer.status) || (hop.method === 'POST' && !isKept)) return answer;
      drain(answer.body);
      if (redirects === maxRedirects)
        throw new DialRefusal(`${hop.url.host} leads through more than ${maxRedirects} redirects`);
      const url = resolveRedirect(hop.url, headerOf(answer.headers, 'location'));
      if (!isSameHost(url, hop.url))
        throw new DialRefusal(`a redirect of the token realm ${hop.url.host} to ${url.host} is not followed`);
      if (isKept && url.search === '') url.search = hop.url.search;
      hop = { ...hop, url };
    }
  }

  async #pause(url: URL, answer: HopAnswer): Promise<UpstreamError> {
    const { health, now } = this.#options;
    const retryAfterMs = health.limited('token', headerOf(answer.headers, 'retry-after'));
    const message = `${formatUsedUp(url.host, now() + retryAfterMs)} (429${await readComplaint(answer)})`;
    return this.#fail('limited', message, { upstreamStatus: 429, retryAfterMs });
  }

  #explain(error: unknown, { host }: URL): UpstreamError {
    if (error instanceof UpstreamError) return error;
    if (error instanceof DialRefusal) return this.#fail('blocked', error.message);
    if (error instanceof BodyTooLarge) return this.#fail('status', `no token from ${host}: ${error.message}`);
    const { message } = this.#options.transport.explain(error);
    return this.#fail('unreachable', `${host} cannot be reached for a token: ${message}`);
  }

  #fail(
    failure: UpstreamFailure,
    message: string,
    rest: { readonly upstreamStatus?: number; readonly retryAfterMs?: number } = {},
  ): UpstreamError {
    return new UpstreamError({ upstream: this.#options.key, kind: 'token', failure, message, ...rest });
  }
}

function buildHop({ realm, service, scopes, credentials }: RealmRequest, signal: AbortSignal): Hop {
  const hop = { kind: 'token', pool: 'control', signal } as const;
  if (credentials?.refreshToken !== undefined) {
    const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: 'cistern' });
    if (service !== undefined) form.set('service', service);
    form.set('scope', scopes.join(' '));
    form.set('refresh_token', credentials.refreshToken);
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return { ...hop, url: realm, method: 'POST', headers, body: form.toString() };
  }
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set('service', service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  const headers: Readonly<Record<string, string>> =
    credentials === undefined ? {} : { authorization: credentials.authorization };
  return { ...hop, url, method: 'GET', headers };
}

/** Host and port; a step up to https may change the port. */
function isSameHost(target: URL, from: URL): boolean {
  const isUpgrade = from.protocol === 'http:' && target.protocol === 'https:';
  return target.hostname === from.hostname && (isUpgrade || portOf(target) === portOf(from));
}
