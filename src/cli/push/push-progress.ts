/** What a user sees of a push: on a terminal one line that changes, elsewhere one line for each blob. */
import { formatBytes } from '../../lib/format.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Descriptor } from '../../oci/manifest.ts';
import type { PushError } from './push-error.ts';
import type { PushObserver } from './push-image.ts';

export interface PushProgressOptions {
  readonly blobs: readonly Descriptor[];
  /** Gets text for standard error. */
  readonly write: (text: string) => void;
  readonly isTerminal: boolean;
  /** Milliseconds. */
  now(): number;
}

const redrawMs = 200;
const shownHex = 12;

export class PushProgress implements PushObserver {
  readonly #options: PushProgressOptions;
  readonly #totalBytes: number;
  readonly #offsets = new Map<Digest, number>();
  readonly #startedMs: number;
  #presentBytes = 0;
  #done = 0;
  #drawnMs = Number.NEGATIVE_INFINITY;

  constructor(options: PushProgressOptions) {
    this.#options = options;
    this.#totalBytes = options.blobs.reduce((sum, { size }) => sum + size, 0);
    this.#startedMs = options.now();
  }

  blobAt(digest: Digest, offset: number): void {
    this.#offsets.set(digest, offset);
    this.#draw(false);
  }

  blobDone({ digest, size }: Descriptor, result: 'pushed' | 'present'): void {
    this.#offsets.set(digest, size);
    if (result === 'present') this.#presentBytes += size;
    this.#done += 1;
    const word = result === 'pushed' ? 'pushed' : 'already there';
    const line = `${digest.slice(0, digest.indexOf(':') + 1 + shownHex)}: ${word} (${formatBytes(size)})`;
    if (!this.#options.isTerminal) this.#options.write(`${line}\n`);
    this.#draw(true);
  }

  trouble(error: PushError): void {
    const { isTerminal, write } = this.#options;
    write(`${isTerminal ? '\r\x1b[K' : ''}${error.message}; trying again\n`);
    this.#draw(true);
  }

  /** Takes the changing line away. */
  end(): void {
    if (this.#options.isTerminal) this.#options.write('\r\x1b[K');
  }

  #draw(isNow: boolean): void {
    const { isTerminal, write, blobs, now } = this.#options;
    const nowMs = now();
    if (!isTerminal || (!isNow && nowMs - this.#drawnMs < redrawMs)) return;
    this.#drawnMs = nowMs;
    let bytes = 0;
    for (const offset of this.#offsets.values()) bytes += offset;
    const seconds = Math.max(0.001, (nowMs - this.#startedMs) / 1000);
    const rate = formatBytes(Math.max(0, bytes - this.#presentBytes) / seconds);
    const share = `${formatBytes(bytes)} of ${formatBytes(this.#totalBytes)}`;
    write(`\r\x1b[K${this.#done} of ${blobs.length} blobs, ${share}, ${rate}/s`);
  }
}
