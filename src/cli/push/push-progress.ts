/** What a user sees of a push: on a terminal a bar, elsewhere one line for each blob. Whatever went wrong on the way stays to be read. */
import { formatBytes } from '../../lib/format.ts';
import type { Timers } from '../../lib/wait.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Descriptor } from '../../oci/manifest.ts';
import { ProgressReporter, type ProgressStream } from '../terminal/progress-reporter.ts';
import type { PushError } from './push-error.ts';
import type { PushObserver } from './push-image.ts';

export interface PushProgressOptions {
  readonly blobs: readonly Descriptor[];
  /** Standard error. */
  readonly stream: ProgressStream;
  /** As `ProgressReporterOptions` has them. */
  readonly now?: () => number;
  readonly timers?: Timers;
}

const shownHex = 12;

export class PushProgress implements PushObserver {
  readonly #blobCount: number;
  readonly #isTerminal: boolean;
  readonly #reporter: ProgressReporter;
  readonly #offsets = new Map<Digest, number>();
  /** Without what the registry had already. */
  #totalBytes: number;
  #done = 0;

  constructor({ blobs, stream, now, timers }: PushProgressOptions) {
    this.#blobCount = blobs.length;
    this.#isTerminal = stream.isTTY === true;
    this.#totalBytes = blobs.reduce((sum, { size }) => sum + size, 0);
    this.#reporter = new ProgressReporter({
      label: 'push',
      stream,
      ...(now && { now }),
      ...(timers && { timers }),
    });
  }

  blobAt(digest: Digest, offset: number): void {
    this.#offsets.set(digest, offset);
    this.#update();
  }

  blobDone({ digest, size }: Descriptor, result: 'pushed' | 'present'): void {
    if (result === 'pushed') this.#offsets.set(digest, size);
    else {
      this.#offsets.delete(digest);
      this.#totalBytes -= size;
    }
    this.#done += 1;
    const word = result === 'pushed' ? 'pushed' : 'already there';
    const name = digest.slice(0, digest.indexOf(':') + 1 + shownHex);
    if (!this.#isTerminal) this.#reporter.say(`${name}: ${word} (${formatBytes(size)})`);
    this.#update();
  }

  trouble(error: PushError): void {
    this.#reporter.say(`${error.message}; trying again`);
  }

  /** Takes the bar away. */
  end(): void {
    this.#reporter.end();
  }

  #update(): void {
    let done = 0;
    for (const offset of this.#offsets.values()) done += offset;
    const note = `${this.#done} of ${this.#blobCount} blobs`;
    this.#reporter.update({ done, total: this.#totalBytes, unit: 'bytes', note });
  }
}
