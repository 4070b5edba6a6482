/**
 * One request to the registry with everything that makes it succeed: authorization, redirects, one retry. And what its
 * end means: which failure it is, whether the host is away, whether to pause. All inside the caller's deadline; a body
 * that follows is the caller's.
 */
import type { Timers } from '../../lib/wait.ts';
import type { Repository } from '../../oci/name.ts';
import { UpstreamError, type UpstreamFailure } from '../../registry/upstream-error.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Kind } from '../../telemetry/observer.ts';
import type { RegistryAuthorizers } from '../auth/registry-authorizers.ts';
import type { Authorization } from '../auth/upstream-login.ts';
import { isServerError } from '../health/breaker.ts';
import { formatUsedUp } from '../health/rate-limit.ts';
import { BodyTooLarge, drain, readBody, readComplaint } from '../transport/body.ts';
import { DialRefusal, hostAndPort } from '../transport/dial.ts';
import { headerOf, TransportError } from '../transport/transport.ts';
import type { Deadline } from './deadline.ts';
import { failAs, slowMs } from './recent-failures.ts';
import {
  type Attempt,
  type Authorize,
  followRedirects,
  type RedirectOptions,
  type RegistryRequest,
  type Reply,
  sendWithRetry,
  startAttempt,
} from './redirects.ts';

export interface RequesterOptions extends RedirectOptions {
  readonly authorizers: RegistryAuthorizers;
  readonly logger: Logger;
  readonly timers: Timers;
}

/** For the host of that URL. */
interface AuthorizedUrl {
  readonly url: URL;
  readonly authorization: Authorization;
}

/** A refusal is answered with credentials, with rotated ones, and with a token for where a redirect leads. */
const maxRenewals = 3;

export class Requester {
  readonly #options: RequesterOptions;

  constructor(options: RequesterOptions) {
    this.#options = options;
  }

  /** The answer, its body unread. Errors: `UpstreamError`; the caller's abort reason. */
  async send(request: RegistryRequest, deadline: Deadline): Promise<Reply> {
    const { kind, ignoreBreaker = false } = request;
    const { requestId } = deadline;
    const traced =
      requestId === undefined
        ? request
        : { ...request, headers: { ...request.headers, 'x-request-id': requestId } };
    const { health } = this.#options;
    health.admit(kind, ignoreBreaker);
    const unwatch = ignoreBreaker ? undefined : health.watch(deadline, kind);
    const attempt = startAttempt(request.isHint);
    try {
      const reply = await this.#sendAuthorized(traced, attempt, deadline.signal);
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

  /** Errors: `UpstreamError`, when a request of that kind wouldn't be sent now. */
  throwIfAway(kind: Kind, ignoreBreaker: boolean): void {
    this.#options.health.admit(kind, ignoreBreaker);
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
    const { repository } = request;
    let own = await this.#authorize(request, this.#options.authorizers.own.prepare(repository, signal));
    let elsewhere: AuthorizedUrl | undefined;
    for (let renewals = 0; ; renewals += 1) {
      // to the registry that a redirect led to, not once more through the first one
      const target = elsewhere?.url ?? request.target;
      const reply = await this.#sendWith(own, elsewhere, { ...request, target }, attempt, signal);
      const isRefused = reply.status === 401 || reply.status === 403;
      if (!isRefused || renewals === maxRenewals) return this.#accepted(reply);
      const renewed = await this.#authorize(request, this.#renew(reply, repository, signal)).catch(
        (error: unknown) => {
          drain(reply.body);
          throw error;
        },
      );
      if (renewed === undefined) return reply;
      drain(reply.body);
      if (reply.isOwnHost) own = renewed;
      else elsewhere = { url: reply.url, authorization: renewed };
    }
  }

  #renew(reply: Reply, repository: Repository, signal: AbortSignal): Promise<Authorization | undefined> {
    const { authorizers } = this.#options;
    return reply.isOwnHost
      ? authorizers.own.renew(reply, reply.used, repository, signal)
      : authorizers.renewElsewhere(reply, reply.used, signal);
  }

  /** The upstream took the credentials that it was sent, whatever its answer is. */
  #accepted(reply: Reply): Reply {
    if (reply.isOwnHost && reply.status < 400) reply.used?.login?.accepted();
    return reply;
  }

  /** A token that can't be had fails the request it was for, not a request for a token. */
  async #authorize<T>({ kind }: RegistryRequest, authorization: Promise<T>): Promise<T> {
    try {
      return await authorization;
    } catch (error) {
      throw error instanceof UpstreamError ? failAs(kind, error) : error;
    }
  }

  /** `own`: for the upstream's own host. */
  #sendWith(
    own: Authorization | undefined,
    elsewhere: AuthorizedUrl | undefined,
    request: RegistryRequest,
    attempt: Attempt,
    signal: AbortSignal,
  ): Promise<Reply> {
    const authorize: Authorize = async (url, isOwnHost) => {
      if (isOwnHost) return own;
      if (elsewhere?.url.origin === url.origin) return elsewhere.authorization;
      const { authorizers } = this.#options;
      return await this.#authorize(request, authorizers.prepareElsewhere(url, signal));
    };
    const send = () => followRedirects(this.#options, request, authorize, attempt, signal);
    return sendWithRetry(attempt, send, this.#options.timers, signal);
  }

  /** A status that was not wanted (docs/behaviour.md, "Nothing held, and the upstream says"). */
  async #failByStatus(request: RegistryRequest, reply: Reply): Promise<UpstreamError> {
    const { key, health, now } = this.#options;
    const { kind, method, subject } = request;
    const { status, isOwnHost, url } = reply;
    const retryAfterMs = status === 429 ? this.#pause(kind, reply) : undefined;
    if (isOwnHost && isServerError(status)) health.failed('status', kind);
    const complaint = await readComplaint(reply);
    const failure = failureOf(reply);
    let message = `${url.host} answered ${status} to ${method} ${subject}${complaint}`;
    if (failure === 'gone') message = `${key} has no ${subject}`;
    if (failure === 'denied') message = `${key} denied access to ${subject} (${status}${complaint})`;
    if (retryAfterMs !== undefined)
      message = `${formatUsedUp(isOwnHost ? key : url.host, now() + retryAfterMs)} (${status}${complaint})`;
    return new UpstreamError({
      upstream: key,
      kind,
      failure,
      message,
      upstreamStatus: status,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  }

  /** The limit of a store that a redirect led to is that host's own: the registry goes on. Gives its length in ms. */
  #pause(kind: Kind, { headers, isOwnHost, url }: Reply): number {
    const { health, pauses, key, logger } = this.#options;
    const retryAfter = headerOf(headers, 'retry-after');
    if (isOwnHost) return health.limited(kind, retryAfter);
    const pauseMs = pauses.pause(hostAndPort(url), kind, retryAfter);
    logger.warn('rate limited, pausing requests', { upstream: key, host: url.host, kind, pauseMs });
    return pauseMs;
  }

  #explain(error: unknown, request: RegistryRequest, attempt: Attempt, deadline: Deadline): unknown {
    const { key, logger } = this.#options;
    const { kind } = request;
    if (deadline.signal.aborted) {
      const reason: unknown = deadline.signal.reason;
      if (deadline.isExpired && reason instanceof UpstreamError) this.#blame(attempt, kind, reason);
      return reason;
    }
    if (error instanceof DialRefusal) {
      logger.warn('refused to dial', { upstream: key, why: error.message });
      return this.fail(kind, 'blocked', error.message);
    }
    if (!(error instanceof TransportError)) return error;
    const host = attempt.hop?.host ?? key;
    const failure = this.fail(kind, 'unreachable', `${host} cannot be reached: ${error.message}`);
    if (!error.answered) this.#blame(attempt, kind, failure);
    return failure;
  }

  /** Without a hop it waited for a token or for its retry: nothing is known about a host. */
  #blame({ hop }: Attempt, kind: Kind, failure: UpstreamError): void {
    if (hop === undefined) return;
    const { health, failures, now } = this.#options;
    const isSilent = failure.failure === 'timeout' || now() - hop.atMs >= slowMs;
    if (hop.isOwnHost && !isSilent) health.failed('connection', kind);
    if (hop.isOwnHost && isSilent && health.answers === hop.answers) health.failed('silent', kind);
    if (!hop.isOwnHost && isSilent) failures.remember(`host ${hop.host}`, failure);
  }
}

/** 401 and 403 of a store that a redirect led to are not the registry's word about who may pull; with a token they are. */
function failureOf({ status, isOwnHost, used }: Reply): UpstreamFailure {
  if (status === 404) return 'gone';
  if (status === 429) return 'limited';
  return (status === 401 || status === 403) && (isOwnHost || used?.token !== undefined) ? 'denied' : 'status';
}
