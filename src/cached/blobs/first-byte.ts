/**
 * No head without a byte: a client that has headers stays with this mirror, however long the body takes, and never asks its next
 * source. So a cold blob is answered once bytes come, and is 404 when none has come within `first_byte`.
 */
import { waitFor } from '../../lib/wait.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Ingest } from '../../store/ingest/ingest.ts';

export interface FirstByteOptions {
  readonly upstream: string;
  /** When the time is over: on the clock of `performance.now()`. */
  readonly endsAtMs: number;
  readonly signal: AbortSignal;
  /** The request for these bytes has failed, and says why by itself. */
  hasFailed?(): boolean;
}

/**
 * Resolves when a byte at `at` is on disk, when bytes come for a download that is still on its way there, or when the ingest has ended.
 * Errors: UpstreamError timeout; the signal's reason.
 */
export async function awaitFirstByte(ingest: Ingest, at: number, options: FirstByteOptions): Promise<void> {
  const { upstream, endsAtMs, signal, hasFailed } = options;
  const heldBefore = ingest.heldBytes;
  const leftMs = Math.max(0, endsAtMs - performance.now());
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    ingest.wake();
  }, leftMs);
  try {
    for (;;) {
      if (ingest.verified || ingest.failure !== undefined || hasFailed?.() === true) return;
      if (ingest.gapFrom(at).start > at || (at > 0 && ingest.heldBytes > heldBefore)) return;
      if (isLate) throw silent(upstream, ingest.digest);
      const { changed, cancel } = ingest.nextChange();
      await waitFor(changed, signal).finally(cancel);
    }
  } finally {
    clearTimeout(timer);
  }
}

export function silent(upstream: string, digest: string): UpstreamError {
  const message = `${upstream} sent no byte of ${digest} in time`;
  return new UpstreamError({ upstream, kind: 'blob', failure: 'timeout', message });
}
