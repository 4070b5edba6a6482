/**
 * The one error for "the upstream did not give it", as the client gets it: the table of docs/behaviour.md ("Nothing held, and the upstream
 * says") is here. `failure` says what may be tried next.
 */
import { type ErrorCode, RegistryError } from '../oci/error.ts';
import type { Kind } from '../telemetry/observer.ts';

/**
 * `gone` 404 · `denied` 401/403 after a fresh token · `credentials` 401 to the configured credentials themselves · `limited` 429 · `status` any other status ·
 * `unreachable` refused, reset, DNS, TLS · `timeout` the deadline passed · `breaker` not asked: it failed a moment ago ·
 * `paused` not asked: Retry-After · `blocked` a redirect or realm that must not be dialled ·
 * `mismatch` the bytes were not the content · `range` the source could not give that range · `offline` never called.
 */
export type UpstreamFailure =
  | 'gone'
  | 'denied'
  | 'credentials'
  | 'limited'
  | 'status'
  | 'unreachable'
  | 'timeout'
  | 'breaker'
  | 'paused'
  | 'blocked'
  | 'mismatch'
  | 'range'
  | 'offline';

export interface UpstreamErrorOptions {
  /** The configured key of the upstream. */
  readonly upstream: string;
  readonly kind: Kind;
  readonly failure: UpstreamFailure;
  /** Expected and got, without any URL's query. */
  readonly message: string;
  readonly upstreamStatus?: number;
  readonly retryAfterMs?: number;
  /** Of the whole blob, in bytes: what an upstream says that refuses a range. */
  readonly size?: number;
  readonly cause?: unknown;
}

/** The upstream's word about this caller, not about the content. */
export function isAccessRefusal(failure: UpstreamFailure): boolean {
  return failure === 'denied' || failure === 'credentials';
}

function codeOf(kind: Kind, failure: UpstreamFailure): ErrorCode {
  if (kind === 'blob') return 'BLOB_UNKNOWN'; // dockerd retries a blob's 5xx for a minute: always 404
  if (failure !== 'gone' && !isAccessRefusal(failure)) return 'UNAVAILABLE';
  return kind === 'tags' || kind === 'referrers' ? 'NAME_UNKNOWN' : 'MANIFEST_UNKNOWN';
}

export class UpstreamError extends RegistryError {
  readonly upstream: string;
  readonly failure: UpstreamFailure;
  readonly upstreamStatus: number | undefined;
  readonly retryAfterMs: number | undefined;
  readonly size: number | undefined;

  constructor(options: UpstreamErrorOptions) {
    const { upstream, kind, failure } = options;
    const reason = isAccessRefusal(failure) ? 'refused' : failure;
    super(codeOf(kind, failure), {
      message: options.message,
      detail: {
        upstream,
        reason,
        ...(options.upstreamStatus === undefined ? {} : { status: options.upstreamStatus }),
      },
      ...(options.cause === undefined ? {} : { cause: options.cause }),
    });
    this.name = 'UpstreamError';
    this.upstream = upstream;
    this.failure = failure;
    this.upstreamStatus = options.upstreamStatus;
    this.retryAfterMs = options.retryAfterMs;
    this.size = options.size;
  }
}
