/**
 * One question to the registry with everything that makes it succeed: authorization, redirects, one retry. And what its
 * end means: which failure it is, whether the host is to be called away, whether to rest. All inside the budget that
 * the caller brings; a body that follows is the caller's.
 */

import { type Timers, wait } from '../../lib/timers.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Kind } from '../../telemetry/observer.ts';
import type { Authorization, Authorizer } from '../auth/authorizer.ts';
import { drain, readComplaint } from '../transport/body.ts';
import { DialRefusal } from '../transport/dial.ts';
import { headerOf, TransportError } from '../transport/transport.ts';
import type { Deadline } from './deadline.ts';
import { failAs } from './recent-failures.ts';
import { followRedirects, type RedirectOptions } from './redirects.ts';
import type { Question, Reply, Trip } from './request-kind.ts';
import { isTransient, retryDelayMs, slowMs } from './retry.ts';

export interface RequesterOptions extends RedirectOptions {
  readonly key: string;
  readonly authorizer: Authorizer;
  readonly logger: Logger;
  readonly timers: Timers;
}

export class Requester {
  readonly #options: RequesterOptions;

  constructor(options: RequesterOptions) {
    this.#options = options;
  }

  /** The answer, its body unread. Errors: `UpstreamError`; the caller's abort reason. */
  async ask(question: Question, budget: Deadline): Promise<Reply> {
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

  async #askAuthorized(question: Question, budget: Deadline, trip: Trip): Promise<Reply> {
    const { authorizer } = this.#options;
    const { repository } = question;
    const used = await this.#authorize(question, authorizer.prepare(repository, budget.signal));
    const reply = await this.#persist(question, used, budget, trip);
    if (!reply.isOwnHost || (reply.status !== 401 && reply.status !== 403)) return reply;
    const renewal = this.#authorize(question, authorizer.renew(reply, used, repository, budget.signal));
    const renewed = await renewal.catch((error: unknown) => {
      drain(reply.body);
      throw error;
    });
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
    budget: Deadline,
    trip: Trip,
  ): Promise<Reply> {
    while (true) {
      try {
        const reply = await followRedirects(this.#options, question, used, budget, trip);
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

  /** A status that nobody wanted (docs/behaviour.md, "Nothing held, and the upstream says"). */
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

  #explain(error: unknown, question: Question, budget: Deadline, trip: Trip): unknown {
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
