/**
 * From the registry to wherever its redirects lead, hop by hop (RFC 9110 15.4). What was sent along to the registry never
 * reaches another host, and nothing that came by https goes on without it.
 */
import type { Repository } from '../../oci/name.ts';
import type { Kind } from '../../telemetry/observer.ts';
import type { HostHealth } from '../health/health.ts';
import { drain } from '../transport/body.ts';
import { DialRefusal, hostAndPort } from '../transport/dial.ts';
import {
  type HopAnswer,
  headerOf,
  type Method,
  type PoolName,
  type Transport,
} from '../transport/transport.ts';
import type { RecentFailures } from './recent-failures.ts';
import type { Attempt } from './retry.ts';

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
  /** Whether to follow a redirect there; absent: always. */
  follows?(target: URL): boolean;
  /** Part of a transfer that has given bytes: it has a backoff of its own, and asks a host that is away too. */
  readonly ignoreBreaker?: boolean;
}

export interface Reply extends HopAnswer {
  /** Where the answer came from in the end. */
  readonly url: URL;
  readonly isOwnHost: boolean;
}

export interface RedirectOptions {
  /** The upstream's own. */
  readonly url: URL;
  readonly transport: Transport;
  /** Of the upstream's own host. */
  readonly health: HostHealth;
  /** Of hosts that redirects lead to, under `host HOST:PORT`. */
  readonly failures: RecentFailures;
  now(): number;
}

const maxRedirects = 5;
const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Sent to the upstream's own host and port only. */
const privateHeaders: ReadonlySet<string> = new Set(['authorization', 'cookie']);

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
  authorization: string | undefined,
  attempt: Attempt,
  signal: AbortSignal,
): Promise<Reply> {
  const own = options.url;
  const headers = { ...request.headers, ...(authorization === undefined ? {} : { authorization }) };
  let url = request.target ?? urlOf(own, request.path);
  for (let redirects = 0; ; redirects += 1) {
    const reply = await sendHop(options, request, url, selectHeaders(url, own, headers), attempt, signal);
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
  headers: Readonly<Record<string, string>>,
  attempt: Attempt,
  signal: AbortSignal,
): Promise<Reply> {
  const { health, failures, transport, url: own } = options;
  const { kind, method, pool } = request;
  const host = hostAndPort(url);
  const isOwnHost = host === hostAndPort(own);
  if (!isOwnHost && !request.ignoreBreaker) failures.throwIfFailed(`host ${host}`, kind);
  attempt.hop = { host, isOwnHost, answers: health.answers, atMs: options.now() };
  const answer = await transport.send({ url, method, kind, headers, pool, signal });
  attempt.hop = undefined;
  if (isOwnHost) health.answered(answer.status, answer.headers);
  else failures.forget(`host ${host}`);
  return { ...answer, url, isOwnHost };
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
