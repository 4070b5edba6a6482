/**
 * The events that rooms report. The metrics room turns them into the metrics of docs/metrics.md; a test may count them.
 * An event does no I/O and never throws.
 */
import type { RateLimit } from '../oci/rate-limit.ts';
import type { AskedFor } from './registry-events.ts';

export type { RateLimit };

/** The kind of a request; a metric label. */
export type Kind =
  | 'manifest'
  | 'blob'
  | 'upload'
  | 'tags'
  | 'referrers'
  | 'catalog'
  | 'token'
  | 'ping'
  | 'other';

/** The way a request was answered; a metric label. */
export type Outcome = 'hit' | 'miss' | 'joined' | 'stale' | 'passthrough' | 'error';

export type ResumeCause = 'cut' | 'stall' | 'slow' | 'refused' | 'restart' | 'status' | 'mismatch';

export type StoreOperation =
  | 'open'
  | 'read'
  | 'write'
  | 'sync'
  | 'rename'
  | 'unlink'
  | 'record'
  | 'journal'
  | 'spool'
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
  /** Names are no metric labels: they are for the daily report. Absent: no registry API. */
  readonly asked?: AskedFor | undefined;
  /** Digest of the manifest that was given to a GET. */
  readonly manifest?: string | undefined;
  /** Why an upstream gave no answer: `unreachable`, `offline` and the like. */
  readonly failure?: unknown;
}

export interface Observer {
  requestEnded(end: RequestEnd): void;
  /** One hop: registry, token realm or redirect target. `status` undefined: no answer. */
  upstreamAnswered(upstream: string, kind: Kind, method: string, status: number | undefined): void;
  upstreamBytes(upstream: string, bytes: number): void;
  upstreamRateLimit(upstream: string, limit: RateLimit): void;
  upstreamUp(upstream: string, up: boolean): void;
  breakerOpen(upstream: string, open: boolean): void;
  /** Whether the upstream takes the configured credentials. */
  upstreamCredentials(upstream: string, areAccepted: boolean): void;
  /** `digest`: what is downloaded. */
  downloadStarted(upstream: string, digest: string): void;
  downloadEnded(upstream: string): void;
  downloadResumed(upstream: string, cause: ResumeCause): void;
  followerJoined(upstream: string): void;
  followerLeft(upstream: string): void;
  digestMismatch(upstream: string): void;
  evicted(bytes: number, ageSeconds: number, digest: string): void;
  storeError(operation: StoreOperation): void;
}

/** The result of a request to another node. `refused`: that node did not accept our signature. */
export type PeerResult = 'given' | 'missing' | 'refused' | 'unreachable';

/** Events of a fleet. */
export interface FleetObserver {
  peerAnswered(kind: 'blob' | 'manifest', result: PeerResult): void;
  /** Body bytes of blobs from another node; `upstream`: whose blob it is. */
  peerBytes(upstream: string, bytes: number): void;
  peerServed(bytes: number): void;
  /** A request to the fleet API without a valid signature. */
  unsignedRefused(): void;
  /** A node sent content that does not match its digest. */
  peerWrong(): void;
  leaseLost(): void;
}

/** How an upload ended; a metric label. `failed`: the bytes were not what the client said. */
export type UploadResult = 'committed' | 'mounted' | 'cancelled' | 'expired' | 'failed';

/** Events of the private registry's collection. */
export interface CollectionObserver {
  /** What no repository has any more: tags, manifests and links of blobs; `blob` is a file that is gone. */
  collected(kind: CollectedKind, count: number): void;
  freed(bytes: number): void;
  /** A run has ended. Milliseconds since the epoch. */
  ended(atMs: number): void;
}

export type CollectedKind = 'tag' | 'manifest' | 'link' | 'blob';

/** Events of the scrub, which compares what is held with its digests. */
export interface ScrubObserver {
  /** That many bytes of a file were read. */
  compared(bytes: number): void;
  found(owner: 'cached' | 'hosted', problem: 'damaged' | 'missing'): void;
  /** A bad cached file is here again. */
  fetchedAgain(): void;
  /** A run is complete. Milliseconds since the epoch. */
  ended(atMs: number): void;
}

/** Follows requests, for traces. `request`: what tells one from others. */
export interface RequestTraces {
  began(request: object, requestId: string): void;
  /** Its response has closed. */
  ended(request: object, end: RequestEnd): void;
}

/** Events of traces. */
export interface TraceObserver {
  /** The receiver has taken so many spans, or not. */
  spansExported(count: number, isSent: boolean): void;
}

/** Events of the private registry's uploads. */
export interface UploadObserver {
  /** Body bytes of pushes, whether they are kept or not. */
  received(bytes: number): void;
  uploadsOpen(count: number): void;
  uploadEnded(result: UploadResult): void;
}
