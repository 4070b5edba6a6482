/**
 * One question to the registry with everything that makes it succeed: authorization, redirects, one retry. And what its
 * end means: which failure it is, whether the host is to be called away, whether to rest. All inside the budget that
 * the caller brings; a body that follows is the caller's.
 */
import type { Repository } from '../oci/name.ts';
import { UpstreamError } from '../registry/upstream-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Kind } from '../telemetry/observer.ts';
import type { Authorization, Authorizer } from './authorize.ts';
import { drain, readComplaint } from './body.ts';
import type { Budget } from './budget.ts';
import { DialRefusal, hostAndPort } from './dial.ts';
import { type Failures, failAs } from './failures.ts';
import type { Health } from './health.ts';
import { headersFor, isRedirect, maxRedirects, redirectTarget } from './redirect.ts';
import { type Timers, wait } from './timers.ts';
import { type HopAnswer, headerOf, type Method, type Transport, TransportError } from './transport.ts';

export interface RequesterOptions {
  readonly key: string;
  readonly url: URL;
  readonly transport: Transport;
  readonly authorizer: Authorizer;
  readonly health: Health;
  /** Of hosts that redirects lead to, under `host HOST:PORT`. */
  readonly failures: Failures;
  readonly logger: Logger;
  readonly timers: Timers;
  now(): number;
}

export interface Question {
  readonly kind: Kind;
  readonly method: Method;
  /** As `buildEndpoint` gives it. */
  readonly path: string;
  readonly repository: Repository;
  readonly headers?: Readonly<Record<string, string>>;
  readonly lane: 'control' | 'transfer';
  /** Statuses beside 2xx that the caller wants to see; others become errors. */
  accepts?(status: number): boolean;
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

/** What the operation is waiting for: decides whose fault a failure is. */
interface Trip {
  retriesLeft: number;
  hop:
    | { readonly host: string; readonly isOwnHost: boolean; readonly answers: number; readonly atMs: number }
    | undefined;
}

export const retryDelayMs = 200;
/** A connection attempt that took that long was met with silence, not with a refusal. */
export const slowMs = 1000;
const transientStatuses: ReadonlySet<number> = new Set([502, 503, 504]);

export function isTransient(status: number): boolean {
  return transientStatuses.has(status);
}

export class Requester {
  readonly #options: RequesterOptions;

  constructor(options: RequesterOptions) {
    this.#options = options;
  }

  /** The answer, its body unread. Errors: `UpstreamError`; the caller's abort reason. */
  async ask(question: Question, budget: Budget): Promise<Reply> {
    const { kind, ignoreBreaker = false } = question;
    const { health } = this.#options;
    health.admit(kind, ignoreBreaker);
    const unwatch = ignoreBreaker ? undefined : health.watch(budget, kind);
    const trip: Trip = { retriesLeft: 1, hop: undefined };
    try {
      const reply = await this.#askAuthorized(question, budget, trip);
      if ((reply.status >= 200 && reply.status < 300) || question.accepts?.(reply.status)) return reply;
      throw await this.#judge(question, reply);
    } catch (error) {
      throw this.#explain(error, question, budget, trip);
    } finally {
      unwatch?.();
    }
  }

  /** The URL of a path on the upstream, whose own URL may have a path too. */
  urlOf(path: string): URL {
    const { url } = this.#options;
    return new URL(`${url.origin}${url.pathname.replace(/\/+$/, '')}${path}`);
  }

  async #askAuthorized(question: Question, budget: Budget, trip: Trip): Promise<Reply> {
    const { authorizer } = this.#options;
    const { repository } = question;
    const used = await this.#authorize(question, authorizer.prepare(repository, budget.signal));
    const reply = await this.#persist(question, used, budget, trip);
    if (!reply.isOwnHost || (reply.status !== 401 && reply.status !== 403)) return reply;
    const renewed = await this.#authorize(question, authorizer.renew(reply, used, repository, budget.signal));
    if (renewed === undefined) return reply;
    drain(reply.body);
    return await this.#persist(question, renewed, budget, trip);
  }

  /** A token that can't be had fails the question it was for, not a question for a token. */
  async #authorize<T>(question: Question, authorization: Promise<T>): Promise<T> {
    try {
      return await authorization;
    } catch (error) {
      throw error instanceof UpstreamError ? failAs(question.kind, error) : error;
    }
  }

  /** Asks again once, where asking again is likely to help; from the start, so that a signed URL is a fresh one. */
  async #persist(
    question: Question,
    used: Authorization | undefined,
    budget: Budget,
    trip: Trip,
  ): Promise<Reply> {
    while (true) {
      try {
        const reply = await this.#follow(question, used, budget, trip);
        if (!isTransient(reply.status) || trip.retriesLeft === 0) return reply;
        drain(reply.body);
      } catch (error) {
        if (!(error instanceof TransportError) || !error.reused || trip.retriesLeft === 0) throw error;
      }
      trip.retriesLeft -= 1;
      trip.hop = undefined;
      await wait(this.#options.timers, retryDelayMs, budget.signal);
    }
  }

  async #follow(
    question: Question,
    used: Authorization | undefined,
    budget: Budget,
    trip: Trip,
  ): Promise<Reply> {
    const own = this.#options.url;
    const headers = { ...question.headers, ...(used === undefined ? {} : { authorization: used.header }) };
    let url = this.urlOf(question.path);
    for (let redirects = 0; ; redirects += 1) {
      const reply = await this.#hop(question, url, headersFor(url, own, headers), budget, trip);
      if (!isRedirect(reply.status)) return reply;
      const target = redirectTarget(url, headerOf(reply.headers, 'location'));
      if (question.follows?.(target) === false) return reply;
      drain(reply.body);
      if (redirects === maxRedirects)
        throw new DialRefusal(`expected at most ${maxRedirects} redirects, got more`);
      url = target;
    }
  }

  async #hop(
    question: Question,
    url: URL,
    headers: Readonly<Record<string, string>>,
    budget: Budget,
    trip: Trip,
  ): Promise<Reply> {
    const { health, failures, transport, url: own } = this.#options;
    const { kind, method, lane } = question;
    const host = hostAndPort(url);
    const isOwnHost = host === hostAndPort(own);
    const failed = isOwnHost || question.ignoreBreaker ? undefined : failures.recall(`host ${host}`);
    if (failed !== undefined) throw failAs(kind, failed, ' (a moment ago)');
    trip.hop = { host, isOwnHost, answers: health.answers, atMs: this.#options.now() };
    const answer = await transport.send({ url, method, kind, headers, lane, signal: budget.signal });
    trip.hop = undefined;
    if (isOwnHost) health.answered(answer.status, answer.headers);
    else failures.forget(`host ${host}`);
    return { ...answer, url, isOwnHost };
  }

  /** A status that nobody wanted (docs: "nothing held, upstream says"). */
  async #judge(question: Question, reply: Reply): Promise<UpstreamError> {
    const { health } = this.#options;
    const { kind, method, repository } = question;
    const { status } = reply;
    const retryAfter = headerOf(reply.headers, 'retry-after');
    const retryAfterMs = status === 429 ? health.limited(kind, retryAfter) : undefined;
    if (status >= 500 && reply.isOwnHost) health.failed('status');
    const complaint = await readComplaint(reply);
    return this.#error(kind, failureOf(status, reply.isOwnHost), {
      message: `expected 200 of ${method} ${kind} of ${repository} at ${reply.url.host}, got ${status}${complaint}`,
      upstreamStatus: status,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  }

  #explain(error: unknown, question: Question, budget: Budget, trip: Trip): unknown {
    const { kind } = question;
    if (budget.signal.aborted) {
      const reason: unknown = budget.signal.reason;
      if (budget.isExpired && reason instanceof UpstreamError) this.#blame(trip, reason);
      return reason;
    }
    if (error instanceof DialRefusal) {
      this.#options.logger.warn('not dialled', { upstream: this.#options.key, why: error.message });
      return this.#error(kind, 'blocked', { message: error.message });
    }
    if (!(error instanceof TransportError)) return error;
    const failure = this.#error(kind, 'unreachable', {
      message: `expected an answer of ${trip.hop?.host ?? this.#options.key}, got ${error.message}`,
    });
    this.#blame(trip, failure);
    return failure;
  }

  #blame(trip: Trip, failure: UpstreamError): void {
    const { hop } = trip;
    if (hop === undefined) return; // it waited for a token or for its retry: nothing is known about the host
    const { health, failures, now } = this.#options;
    const isSilent = failure.failure === 'timeout' || now() - hop.atMs >= slowMs;
    if (hop.isOwnHost && !isSilent) health.failed('connection');
    if (hop.isOwnHost && isSilent && health.answers === hop.answers) health.failed('silent');
    if (!hop.isOwnHost && isSilent) failures.remember(`host ${hop.host}`, failure);
  }

  #error(
    kind: Kind,
    failure: UpstreamError['failure'],
    rest: { message: string; upstreamStatus?: number; retryAfterMs?: number },
  ): UpstreamError {
    return new UpstreamError({ upstream: this.#options.key, kind, failure, ...rest });
  }
}

/** 401 and 403 of a store that a redirect led to are not the registry's word about who may pull. */
function failureOf(status: number, isOwnHost: boolean): UpstreamError['failure'] {
  if (status === 404) return 'gone';
  if (status === 429) return 'limited';
  return (status === 401 || status === 403) && isOwnHost ? 'denied' : 'status';
}
