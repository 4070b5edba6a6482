/**
 * No head without a byte: a client that has headers stays with this mirror, however long the body takes, and never asks its next
 * source. So a cold blob is answered once bytes come, and is 404 when none has come within `first_byte`.
 */
import { waitFor } from '../../lib/wait.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Ingest } from '../../store/ingest/ingest.ts';
import type { OwnQueue } from '../download/waiters.ts';

export interface FirstByteOptions {
  readonly upstream: string;
  /** When the time is over: on the clock of `performance.now()`. */
  readonly endsAtMs: number;
  readonly signal: AbortSignal;
  /** Of the transfers that bring the byte: the time stands still while they wait there. */
  readonly queue: OwnQueue;
  /** The request for these bytes has failed, and says why by itself. */
  hasFailed?(): boolean;
}

/**
 * Resolves when a byte at `at` is on disk, when bytes come for a download that is still on its way there, or when the ingest has ended.
 * Errors: UpstreamError timeout; the signal's reason.
 */
export async function awaitFirstByte(ingest: Ingest, at: number, options: FirstByteOptions): Promise<void> {
  const { upstream, endsAtMs, signal, queue, hasFailed } = options;
  const heldBefore = ingest.heldBytes;
  let isLate = false;
  const clock = new FirstByteClock(endsAtMs - performance.now(), queue, () => {
    isLate = true;
    ingest.wake();
  });
  try {
    for (;;) {
      if (ingest.verified || ingest.failure !== undefined || hasFailed?.() === true) return;
      if (ingest.gapFrom(at).start > at || (at > 0 && ingest.heldBytes > heldBefore)) return;
      if (isLate) throw silent(upstream, ingest.digest);
      const { changed, cancel } = ingest.nextChange();
      await waitFor(changed, signal).finally(cancel);
    }
  } finally {
    clock.stop();
  }
}

/** The time that an upstream has for the first byte. It stands still while the transfers wait in a queue of this mirror's own. */
export class FirstByteClock {
  readonly #queue: OwnQueue | undefined;
  readonly #onLate: () => void;
  readonly #unwatch: (() => void) | undefined;
  #leftMs: number;
  #startedAtMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(leftMs: number, queue: OwnQueue | undefined, onLate: () => void) {
    this.#leftMs = leftMs;
    this.#queue = queue;
    this.#onLate = onLate;
    this.#unwatch = queue?.watch(() => this.#update());
    this.#update();
  }

  /** Idempotent. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#unwatch?.();
  }

  #update(): void {
    const nowMs = performance.now();
    if (this.#timer !== undefined) this.#leftMs -= nowMs - this.#startedAtMs;
    clearTimeout(this.#timer);
    this.#startedAtMs = nowMs;
    const isQueued = this.#queue?.isWaiting === true;
    this.#timer = isQueued ? undefined : setTimeout(this.#onLate, Math.max(0, this.#leftMs));
  }
}

export function silent(upstream: string, digest: string): UpstreamError {
  const message = `${upstream} sent no byte of ${digest} in time`;
  return new UpstreamError({ upstream, kind: 'blob', failure: 'timeout', message });
}
