/** One retry for each request to a registry or a token realm, where sending it again is likely to help. */
import { type Timers, wait } from '../../lib/timers.ts';
import { drain } from '../transport/body.ts';
import { type HopAnswer, TransportError } from '../transport/transport.ts';

const retryDelayMs = 200;
/** Answers of what stands in front of a registry while that is restarted. Never 429, which asks to wait. */
const transientStatuses: ReadonlySet<number> = new Set([502, 503, 504]);

/** How far a request has got: decides whose fault a failure is, and whether it may be sent again. */
export interface Attempt {
  /** See `RegistryRequest.isHint`. */
  readonly isHint: boolean;
  isRetried: boolean;
  /** The request that is under way; undefined while a token or the retry is waited for. */
  hop:
    | { readonly host: string; readonly isOwnHost: boolean; readonly answers: number; readonly atMs: number }
    | undefined;
}

export function startAttempt(isHint = false): Attempt {
  return { isHint, isRetried: false, hop: undefined };
}

/**
 * Sends again after 502, 503 and 504, and when the server had ended a connection that was reused. From the start, so
 * that a signed URL is a fresh one. Errors: those of `send`; the signal's reason.
 */
export async function sendWithRetry<Answer extends HopAnswer>(
  attempt: Attempt,
  send: () => Promise<Answer>,
  timers: Timers,
  signal: AbortSignal,
): Promise<Answer> {
  while (true) {
    try {
      const answer = await send();
      if (attempt.isRetried || attempt.isHint || !transientStatuses.has(answer.status)) return answer;
      drain(answer.body);
    } catch (error) {
      if (attempt.isRetried || !(error instanceof TransportError) || !error.reused) throw error;
    }
    attempt.isRetried = true;
    attempt.hop = undefined;
    await wait(timers, retryDelayMs, signal);
  }
}
