/**
 * From the registry to wherever its redirects lead, hop by hop (RFC 9110 15.4). What was sent along to the registry never
 * reaches another host, and nothing that came by https goes on without it.
 */

import { type Timers, wait } from '../../lib/wait.ts';
import type { Repository } from '../../oci/name.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Kind } from '../../telemetry/observer.ts';
import type { Authorization } from '../auth/upstream-login.ts';
import type { HostHealth } from '../health/health.ts';
import { formatUsedUp, type HostPauses } from '../health/rate-limit.ts';
import { drain } from '../transport/body.ts';
import { DialRefusal, hostAndPort } from '../transport/dial.ts';
import {
  type HopAnswer,
  headerOf,
  type Method,
  type PoolName,
  type Transport,
  TransportError,
} from '../transport/transport.ts';
import type { RecentFailures } from './recent-failures.ts';

export interface RegistryRequest {
  readonly kind: Kind;
  readonly method: Method;
  /** As `buildEndpoint` gives it. */
  readonly path: string;
  readonly repository: Repository;
  /** What is asked for, as messages name it: `library/alpine:3`. */
  readonly subject: string;
  /** Asked there at once: where a redirect led before. */
  readonly target?: URL | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly pool: PoolName;
  /** Statuses beside 2xx that the caller wants to see; others become errors. */
  accepts?(status: number): boolean;
  /** The same for the answer of another host, which a redirect led to. */
  acceptsElsewhere?(status: number, url: URL): boolean;
  /** Another request follows when it fails, so a status of it says nothing about the host, and it isn't sent twice for one. */
  readonly isHint?: boolean;
  /** Whether to follow a redirect there; absent: always. */
  follows?(target: URL): boolean;
  /** Part of a transfer that has given bytes: it has a backoff of its own, and asks a host that is away too. */
  readonly ignoreBreaker?: boolean;
}

export interface Reply extends HopAnswer {
  /** Where the answer came from in the end. */
  readonly url: URL;
  readonly isOwnHost: boolean;
  /** What that host was sent. */
  readonly used: Authorization | undefined;
}

export interface RedirectOptions {
  readonly key: string;
  /** The upstream's own. */
  readonly url: URL;
  readonly transport: Transport;
  /** Of the upstream's own host. */
  readonly health: HostHealth;
  /** Of hosts that redirects lead to, under `host HOST:PORT`. */
  readonly failures: RecentFailures;
  /** Of the same hosts: those that answered 429. */
  readonly pauses: HostPauses;
  now(): number;
}

/** What to send to the host of a URL. */
export type Authorize = (url: URL, isOwnHost: boolean) => Promise<Authorization | undefined>;

const maxRedirects = 5;
const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Sent to the upstream's own host and port only. */
const privateHeaders: ReadonlySet<string> = new Set(['authorization', 'cookie', 'x-request-id']);

export function isRedirect(status: number): boolean {
  return redirectStatuses.has(status);
}

/** The URL of a path on the upstream, whose own URL may have a path too, and `?ns=HOST` when it is a mirror of several. */
export function urlOf(upstream: URL, path: string): URL {
  const ns = upstream.search === '' ? '' : `${path.includes('?') ? '&' : '?'}${upstream.search.slice(1)}`;
  return new URL(`${upstream.origin}${upstream.pathname.replace(/\/+$/, '')}${path}${ns}`);
}

/**
 * The answer at the end of all redirects. Errors: as `Transport.send`; `DialRefusal`; `UpstreamError` of a host that failed
 * a moment ago.
 */
export async function followRedirects(
  options: RedirectOptions,
  request: RegistryRequest,
  authorize: Authorize,
  attempt: Attempt,
  signal: AbortSignal,
): Promise<Reply> {
  const own = options.url;
  let url = request.target ?? urlOf(own, request.path);
  for (let redirects = 0; ; redirects += 1) {
    const reply = await sendHop(options, request, url, authorize, attempt, signal);
    if (!isRedirect(reply.status)) return reply;
    drain(reply.body); // before anything is refused: an unread body would keep its connection
    const target = resolveRedirect(url, headerOf(reply.headers, 'location'));
    if (request.follows?.(target) === false) return reply;
    if (redirects === maxRedirects)
      throw new DialRefusal(`${own.host} leads through more than ${maxRedirects} redirects`);
    url = target;
  }
}

async function sendHop(
  options: RedirectOptions,
  request: RegistryRequest,
  url: URL,
  authorize: Authorize,
  attempt: Attempt,
  signal: AbortSignal,
): Promise<Reply> {
  const { health, failures, transport, url: own } = options;
  const { kind, method, pool } = request;
  const host = hostAndPort(url);
  const isOwnHost = host === hostAndPort(own);
  if (!isOwnHost && !request.ignoreBreaker) failures.throwIfFailed(`host ${host}`, kind);
  const pausedUntil = isOwnHost ? undefined : options.pauses.pausedUntil(host, kind);
  if (pausedUntil !== undefined) throw pausedError(options, request, url, pausedUntil);
  const used = await authorize(url, isOwnHost);
  const headers = {
    ...selectHeaders(url, own, request.headers ?? {}),
    ...(used === undefined ? {} : { authorization: used.header }),
  };
  attempt.hop = { host, isOwnHost, answers: health.answers, atMs: options.now() };
  const answer = await transport.send({ url, method, kind, headers, pool, signal });
  attempt.hop = undefined;
  if (isOwnHost) health.answered(answer.status, answer.headers, kind);
  else failures.forget(`host ${host}`);
  return { ...answer, url, isOwnHost, used };
}

function pausedError(
  { key, now }: RedirectOptions,
  { kind }: RegistryRequest,
  { host }: URL,
  untilMs: number,
): UpstreamError {
  const retryAfterMs = untilMs - now();
  const message = formatUsedUp(host, untilMs);
  return new UpstreamError({ upstream: key, kind, failure: 'paused', message, retryAfterMs });
}

/** Errors: `DialRefusal` for a target that can't be read, another scheme, or a step from https to http. */
export function resolveRedirect(from: URL, location: string | undefined): URL {
  if (location === undefined || !URL.canParse(location, from.href))
    throw new DialRefusal(`a redirect of ${from.host} has no usable Location`);
  const target = new URL(location, from);
  if (target.protocol !== 'https:' && target.protocol !== 'http:')
    throw new DialRefusal(`a redirect of ${from.host} to ${target.protocol} is not followed`);
  if (from.protocol === 'https:' && target.protocol === 'http:')
    throw new DialRefusal(`a redirect from https to http://${target.host} is not followed`);
  target.username = '';
  target.password = '';
  return target;
}

/** The headers for `target`: all of them on the upstream's own host and port, elsewhere without the private ones. */
export function selectHeaders(
  target: URL,
  own: URL,
  headers: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  if (hostAndPort(target) === hostAndPort(own)) return headers;
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !privateHeaders.has(name)));
}

const retryDelayMs = 200;
/** Answers of what stands in front of a registry while that is restarted. Never 429, which asks to wait. */
const transientStatuses: ReadonlySet<number> = new Set([502, 503, 504]);

/** How far a request has got: decides whose fault a failure is, and whether it may be sent again. */
export interface Attempt {
  /** See `RegistryRequest.isHint`. */
  readonly isHint: boolean;
  isRetried: boolean;
  /** The request that is under way; undefined while a token or the retry is waited for. */
  hop:
    | { readonly host: string; readonly isOwnHost: boolean; readonly answers: number; readonly atMs: number }
    | undefined;
}

/** One retry for each request to a registry or a token realm, where sending it again is likely to help. */
export function startAttempt(isHint = false): Attempt {
  return { isHint, isRetried: false, hop: undefined };
}

/**
 * Sends again after 502, 503 and 504, and when the server had ended a connection that was reused. From the start, so
 * that a signed URL is a fresh one. Errors: those of `send`; the signal's reason.
 */
export async function sendWithRetry<Answer extends HopAnswer>(
  attempt: Attempt,
  send: () => Promise<Answer>,
  timers: Timers,
  signal: AbortSignal,
): Promise<Answer> {
  while (true) {
    try {
      const answer = await send();
      if (attempt.isRetried || attempt.isHint || !transientStatuses.has(answer.status)) return answer;
      drain(answer.body);
    } catch (error) {
      if (attempt.isRetried || !(error instanceof TransportError) || !error.reused) throw error;
    }
    attempt.isRetried = true;
    attempt.hop = undefined;
    await wait(timers, retryDelayMs, signal);
  }
}
