/**
 * From the registry to wherever its redirects lead, hop by hop. Each hop is told to whoever keeps count of its host: the
 * upstream's own to its health, a store to the memory of failures.
 */

import type { Authorization } from '../auth/authorizer.ts';
import type { HostHealth } from '../health/anonymous-health.ts';
import { drain } from '../transport/body.ts';
import { DialRefusal, hostAndPort } from '../transport/dial.ts';
import { headerOf, type Transport } from '../transport/transport.ts';
import type { Deadline } from './deadline.ts';
import { failAs, type RecentFailures } from './recent-failures.ts';
import { headersFor, isRedirect, maxRedirects, redirectTarget } from './redirect.ts';
import type { Question, Reply, Trip } from './request-kind.ts';

export interface RedirectOptions {
  readonly url: URL;
  readonly transport: Transport;
  readonly health: HostHealth;
  /** Of hosts that redirects lead to, under `host HOST:PORT`. */
  readonly failures: RecentFailures;
  now(): number;
}

/** The URL of a path on the upstream, whose own URL may have a path too, and `?ns=HOST` when it is a mirror of several. */
export function urlOf(upstream: URL, path: string): URL {
  const ns = upstream.search === '' ? '' : `${path.includes('?') ? '&' : '?'}${upstream.search.slice(1)}`;
  return new URL(`${upstream.origin}${upstream.pathname.replace(/\/+$/, '')}${path}${ns}`);
}

/** The answer at the end of all redirects. Errors: as `Transport.send`; `DialRefusal`; `UpstreamError` of a store that rests. */
export async function followRedirects(
  options: RedirectOptions,
  question: Question,
  used: Authorization | undefined,
  budget: Deadline,
  trip: Trip,
): Promise<Reply> {
  const own = options.url;
  const headers = { ...question.headers, ...(used === undefined ? {} : { authorization: used.header }) };
  let url = question.target ?? urlOf(own, question.path);
  for (let redirects = 0; ; redirects += 1) {
    const reply = await hop(options, question, url, headersFor(url, own, headers), budget, trip);
    if (!isRedirect(reply.status)) return reply;
    drain(reply.body); // before anything is refused: an unread body would keep its connection
    const target = redirectTarget(url, headerOf(reply.headers, 'location'));
    if (question.follows?.(target) === false) return reply;
    if (redirects === maxRedirects)
      throw new DialRefusal(`expected at most ${maxRedirects} redirects, got more`);
    url = target;
  }
}

async function hop(
  options: RedirectOptions,
  question: Question,
  url: URL,
  headers: Readonly<Record<string, string>>,
  budget: Deadline,
  trip: Trip,
): Promise<Reply> {
  const { health, failures, transport, url: own } = options;
  const { kind, method, lane } = question;
  const host = hostAndPort(url);
  const isOwnHost = host === hostAndPort(own);
  const failed = isOwnHost || question.ignoreBreaker ? undefined : failures.recall(`host ${host}`);
  if (failed !== undefined) throw failAs(kind, failed, ' (a moment ago)');
  trip.hop = { host, isOwnHost, answers: health.answers, atMs: options.now() };
  const answer = await transport.send({ url, method, kind, headers, lane, signal: budget.signal });
  trip.hop = undefined;
  if (isOwnHost) health.answered(answer.status, answer.headers);
  else failures.forget(`host ${host}`);
  return { ...answer, url, isOwnHost };
}
