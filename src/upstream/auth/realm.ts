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
import { sendWithRetry, startAttempt } from '../request/redirects.ts';
import { BodyTooLarge, readBody, readComplaint } from '../transport/body.ts';
import { DialRefusal, hostAndPort } from '../transport/dial.ts';
import { type HopAnswer, headerOf, type Transport } from '../transport/transport.ts';

const hubTokenHost = 'auth.docker.io';
const maxBytes = 64 * 1024;

export interface RealmPolicy {
  /** The upstream's own. */
  readonly url: URL;
  /** `host` or `host:port`. */
  readonly tokenHosts: readonly string[];
}

/**
 * The realm of a challenge as a URL without userinfo and fragment. The realm gets the credentials: it must be on the
 * upstream's own host, Docker Hub's known one, or in `token_hosts`; others aren't asked at all, not even anonymously.
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
  const isHub = own === HUB || own.endsWith(`.${HUB}`);
  if (isHub && url.protocol === 'https:' && url.host === hubTokenHost) return true;
  return policy.tokenHosts.some(host => [url.hostname, url.host].includes(host.toLowerCase()));
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

  /** GET of a realm. No caller ends it. Errors: `UpstreamError` of kind `token`, also for 429 and 5xx. */
  async ask(url: URL, authorization: string | undefined): Promise<RealmAnswer> {
    const { health, failures, timers, timeoutMs, now } = this.#options;
    const memory = `realm ${hostAndPort(url)}${url.pathname}`;
    failures.throwIfFailed(memory, 'token');
    const pausedUntil = health.pausedUntil('token');
    if (pausedUntil !== undefined) throw this.#fail('paused', formatUsedUp(url.host, pausedUntil));
    const startedMs = now();
    const expired = () => this.#fail('timeout', `${url.host} gave no token within ${timeoutMs} ms`);
    const deadline = new Deadline({ timeoutMs, timers, expired });
    try {
      return await this.#send(url, authorization, deadline.signal);
    } catch (error) {
      const failure = deadline.signal.aborted ? deadline.signal.reason : this.#explain(error, url);
      const isSilent = deadline.signal.aborted || now() - startedMs >= slowMs;
      if (isSilent) failures.remember(memory, failure); // a quick refusal costs no time
      throw failure;
    } finally {
      deadline.dispose();
    }
  }

  async #send(url: URL, authorization: string | undefined, signal: AbortSignal): Promise<RealmAnswer> {
    const { transport, timers } = this.#options;
    const headers: Readonly<Record<string, string>> = authorization === undefined ? {} : { authorization };
    const hop = { url, method: 'GET', kind: 'token', pool: 'control', headers, signal } as const;
    const answer = await sendWithRetry(startAttempt(), () => transport.send(hop), timers, signal);
    const { status } = answer;
    if (status === 200) return { status, bytes: await readBody(answer, maxBytes), complaint: '' };
    if (status === 429) throw await this.#pause(url, answer);
    const complaint = await readComplaint(answer);
    if (status < 500) return { status, bytes: Buffer.alloc(0), complaint };
    throw this.#fail('status', `${url.host} answered ${status} to the request for a token${complaint}`, {
      upstreamStatus: status,
    });
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
