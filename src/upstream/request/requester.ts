/**
 * One request to the registry with everything that makes it succeed: authorization, redirects, one retry. And what its
 * end means: which failure it is, whether the host is away, whether to pause. All inside the caller's deadline; a body
 * that follows is the caller's.
 */
import type { Timers } from '../../lib/timers.ts';
import { UpstreamError, type UpstreamFailure } from '../../registry/upstream-error.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Kind } from '../../telemetry/observer.ts';
import type { Authorization, Authorizer } from '../auth/authorizer.ts';
import { formatUsedUp } from '../health/rate-limit.ts';
import { BodyTooLarge, drain, readBody, readComplaint } from '../transport/body.ts';
import { DialRefusal } from '../transport/dial.ts';
import { headerOf, TransportError } from '../transport/transport.ts';
import type { Deadline } from './deadline.ts';
import { failAs, slowMs } from './recent-failures.ts';
import { followRedirects, type RedirectOptions, type RegistryRequest, type Reply } from './redirects.ts';
import { type Attempt, sendWithRetry, startAttempt } from './retry.ts';

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
  async send(request: RegistryRequest, deadline: Deadline): Promise<Reply> {
    const { kind, ignoreBreaker = false } = request;
    const { health } = this.#options;
    health.admit(kind, ignoreBreaker);
    const unwatch = ignoreBreaker ? undefined : health.watch(deadline, kind);
    const attempt = startAttempt();
    try {
      const reply = await this.#sendAuthorized(request, attempt, deadline.signal);
      const { status, isOwnHost, url } = reply;
      if ((status >= 200 && status < 300) || request.accepts?.(status)) return reply;
      if (!isOwnHost && request.acceptsElsewhere?.(status, url)) return reply;
      throw await this.#failByStatus(request, reply);
    } catch (error) {
      throw this.#explain(error, request, attempt, deadline);
    } finally {
      unwatch?.();
    }
  }

  /** The whole body of a reply. Errors: `UpstreamError`, for a longer one `tooLong`; the deadline's reason. */
  async readBody(
    request: RegistryRequest,
    reply: Reply,
    maxBytes: number,
    tooLong: UpstreamFailure,
    deadline: Deadline,
  ): Promise<Buffer> {
    try {
      return await readBody(reply, maxBytes);
    } catch (error) {
      if (!(error instanceof BodyTooLarge)) throw this.explainCut(request, error, deadline);
      deadline.signal.throwIfAborted();
      throw this.fail(request.kind, tooLong, `${request.subject} cannot be read: ${error.message}`);
    }
  }

  /** What an error of a reply's body is for its reader: `UpstreamError` or the deadline's reason. */
  explainCut({ kind, subject }: RegistryRequest, error: unknown, deadline: Deadline): unknown {
    if (deadline.signal.aborted) return deadline.signal.reason;
    const { message } = this.#options.transport.explain(error);
    return this.fail(kind, 'unreachable', `${subject} broke off: ${message}`);
  }

  fail(kind: Kind, failure: UpstreamFailure, message: string): UpstreamError {
    return new UpstreamError({ upstream: this.#options.key, kind, failure, message });
  }

  async #sendAuthorized(request: RegistryRequest, attempt: Attempt, signal: AbortSignal): Promise<Reply> {
    const { authorizer } = this.#options;
    const { repository } = request;
    const used = await this.#authorize(request, authorizer.prepare(repository, signal));
    const reply = await this.#sendWith(used, request, attempt, signal);
    if (!reply.isOwnHost || (reply.status !== 401 && reply.status !== 403)) return reply;
    const renewal = this.#authorize(request, authorizer.renew(reply, used, repository, signal));
    const renewed = await renewal.catch((error: unknown) => {
      drain(reply.body);
      throw error;
    });
    if (renewed === undefined) return reply;
    drain(reply.body);
    return await this.#sendWith(renewed, request, attempt, signal);
  }

  /** A token that can't be had fails the request it was for, not a request for a token. */
  async #authorize<T>({ kind }: RegistryRequest, authorization: Promise<T>): Promise<T> {
    try {
      return await authorization;
    } catch (error) {
      throw error instanceof UpstreamError ? failAs(kind, error) : error;
    }
  }

  #sendWith(
    used: Authorization | undefined,
    request: RegistryRequest,
    attempt: Attempt,
    signal: AbortSignal,
  ): Promise<Reply> {
    const send = () => followRedirects(this.#options, request, used?.header, attempt, signal);
    return sendWithRetry(attempt, send, this.#options.timers, signal);
  }

  /** A status that was not wanted (docs/behaviour.md, "Nothing held, and the upstream says"). */
  async #failByStatus(request: RegistryRequest, reply: Reply): Promise<UpstreamError> {
    const { key, health, now } = this.#options;
    const { kind, method, subject } = request;
    const { status, isOwnHost, url } = reply;
    const retryAfter = headerOf(reply.headers, 'retry-after');
    const retryAfterMs = status === 429 ? health.limited(kind, retryAfter) : undefined;
    if (status >= 500 && isOwnHost) health.failed('status');
    const complaint = await readComplaint(reply);
    const failure = failureOf(status, isOwnHost);
    let message = `${url.host} answered ${status} to ${method} ${subject}${complaint}`;
    if (failure === 'gone') message = `${key} has no ${subject}`;
    if (failure === 'denied') message = `${key} denied access to ${subject} (${status}${complaint})`;
    if (retryAfterMs !== undefined)
      message = `${formatUsedUp(key, now() + retryAfterMs)} (${status}${complaint})`;
    return new UpstreamError({
      upstream: key,
      kind,
      failure,
      message,
      upstreamStatus: status,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  }

  #explain(error: unknown, request: RegistryRequest, attempt: Attempt, deadline: Deadline): unknown {
    const { key, logger } = this.#options;
    const { kind } = request;
    if (deadline.signal.aborted) {
      const reason: unknown = deadline.signal.reason;
      if (deadline.isExpired && reason instanceof UpstreamError) this.#blame(attempt, reason);
      return reason;
    }
    if (error instanceof DialRefusal) {
      logger.warn('refused to dial', { upstream: key, why: error.message });
      return this.fail(kind, 'blocked', error.message);
    }
    if (!(error instanceof TransportError)) return error;
    const host = attempt.hop?.host ?? key;
    const failure = this.fail(kind, 'unreachable', `${host} cannot be reached: ${error.message}`);
    this.#blame(attempt, failure);
    return failure;
  }

  /** Without a hop it waited for a token or for its retry: nothing is known about a host. */
  #blame({ hop }: Attempt, failure: UpstreamError): void {
    if (hop === undefined) return;
    const { health, failures, now } = this.#options;
    const isSilent = failure.failure === 'timeout' || now() - hop.atMs >= slowMs;
    if (hop.isOwnHost && !isSilent) health.failed('connection');
    if (hop.isOwnHost && isSilent && health.answers === hop.answers) health.failed('silent');
    if (!hop.isOwnHost && isSilent) failures.remember(`host ${hop.host}`, failure);
  }
}

/** 401 and 403 of a store that a redirect led to are not the registry's word about who may pull. */
function failureOf(status: number, isOwnHost: boolean): UpstreamFailure {
  if (status === 404) return 'gone';
  if (status === 429) return 'limited';
  return (status === 401 || status === 403) && isOwnHost ? 'denied' : 'status';
}
