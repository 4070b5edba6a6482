/**
 * What the rooms report. `metrics/metrics.ts` turns each event into the metrics of docs/metrics.md; a test may count them.
 * No event does I/O, and none may throw.
 */
import type { RateLimit } from '../oci/rate-limit.ts';

export type { RateLimit };

/** What was asked for; a metric label. */
export type Kind = 'manifest' | 'blob' | 'tags' | 'referrers' | 'catalog' | 'token' | 'ping' | 'other';

/** How it was answered; a metric label. */
export type Outcome = 'hit' | 'miss' | 'joined' | 'stale' | 'passthrough' | 'error';

export type ResumeCause = 'cut' | 'stall' | 'refused' | 'restart' | 'status' | 'mismatch';

export type StoreOperation =
  | 'open'
  | 'read'
  | 'write'
  | 'sync'
  | 'rename'
  | 'unlink'
  | 'record'
  | 'journal'
  | 'scan'
  | 'verify';

export interface RequestEnd {
  readonly upstream: string;
  readonly kind: Kind;
  readonly method: string;
  readonly status: number;
  readonly outcome: Outcome;
  /** Body bytes handed to the socket. */
  readonly bytes: number;
  readonly seconds: number;
  /** Until the first body byte (or the headers, when there is no body). */
  readonly firstByteSeconds: number;
}

export interface Observer {
  requestEnded(end: RequestEnd): void;
  /** One hop: registry, token realm or redirect target. `status` undefined: no answer. */
  upstreamAnswered(upstream: string, kind: Kind, method: string, status: number | undefined): void;
  upstreamBytes(upstream: string, bytes: number): void;
  upstreamRateLimit(upstream: string, limit: RateLimit): void;
  upstreamUp(upstream: string, up: boolean): void;
  breakerOpen(upstream: string, open: boolean): void;
  downloadStarted(upstream: string): void;
  downloadEnded(upstream: string): void;
  downloadResumed(upstream: string, cause: ResumeCause): void;
  followerJoined(upstream: string): void;
  followerLeft(upstream: string): void;
  digestMismatch(upstream: string): void;
  evicted(bytes: number, ageSeconds: number): void;
  storeError(operation: StoreOperation): void;
}
