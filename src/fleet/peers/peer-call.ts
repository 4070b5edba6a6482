/**
 * One question to another node, and how long it may take: a while for its answer, and, of a node that is followed, as long
 * as it has the lease. A connection alone doesn't tell (the process may be stopped, its machine may be off), so while
 * nothing comes the lease is looked at; while bytes come, Redis isn't asked.
 */
import type { Digest } from '../../oci/digest.ts';
import type { BlobLeases } from '../redis/blob-leases.ts';
import { PeerError } from './peer-client.ts';

export interface PeerCallOptions {
  /** The reader's. */
  readonly signal: AbortSignal;
  /** Until the answer has to be there. Milliseconds. */
  readonly answerMs: number;
  /** Called once or more. */
  onClose(): void;
}

export interface FollowedLease {
  readonly claims: BlobLeases;
  readonly digest: Digest;
  /** Of the node that is followed. */
  readonly token: string;
  readonly lookEveryMs: number;
}

export class PeerCall {
  readonly #controller = new AbortController();
  readonly #signal: AbortSignal;
  readonly #onAbort: () => void;
  readonly #onClose: () => void;
  readonly #answerTimer: NodeJS.Timeout;
  readonly #lookTimer: NodeJS.Timeout | undefined;
  #moved = false;
  #bytes = 0;

  constructor({ signal, answerMs, onClose }: PeerCallOptions, lease?: FollowedLease) {
    this.#signal = signal;
    this.#onClose = onClose;
    this.#onAbort = () => this.abort(signal.reason);
    signal.addEventListener('abort', this.#onAbort, { once: true });
    const late = () => this.abort(new PeerError('silent', `no answer within ${answerMs} ms`));
    this.#answerTimer = setTimeout(late, answerMs).unref();
    if (lease !== undefined)
      this.#lookTimer = setInterval(() => void this.#look(lease), lease.lookEveryMs).unref();
    if (signal.aborted) this.#onAbort();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What has come so far. */
  get bytes(): number {
    return this.#bytes;
  }

  answered(): void {
    clearTimeout(this.#answerTimer);
  }

  moved(count: number): void {
    this.#bytes += count;
    this.#moved = true;
  }

  /** Ends the question. Idempotent. */
  abort(reason: unknown): void {
    this.close();
    this.#controller.abort(reason);
  }

  /** It is over. Idempotent. */
  close(): void {
    clearTimeout(this.#answerTimer);
    clearInterval(this.#lookTimer);
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#onClose();
  }

  async #look({ claims, digest, token }: FollowedLease): Promise<void> {
    const hasMoved = this.#moved;
    this.#moved = false;
    if (hasMoved) return;
    const owner = await claims.owner(digest);
    if (owner === undefined || owner === token || this.#moved) return;
    this.abort(new PeerError('unreachable', 'the node that was followed has the lease no more'));
  }
}
