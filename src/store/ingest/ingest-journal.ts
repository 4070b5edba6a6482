/**
 * When the journal of an ingest is written: after each `everyBytes` in the page cache, and after each `syncBytes` on
 * the disk itself. Runs behind the transfer, one write at a time; a journal that can't be written costs bytes after a
 * crash and nothing else, so its errors are reported, not thrown.
 */
import type { FileHandle } from 'node:fs/promises';
import type { Digest } from '../../oci/digest.ts';
import type { Observer } from '../../telemetry/observer.ts';
import { type JournalPaths, readJournal, writeJournal } from './journal.ts';
import { type Segment, Segments } from './segments.ts';

const everyBytes = 1024 * 1024;
const syncBytes = 32 * 1024 * 1024;

export interface IngestJournalOptions extends JournalPaths {
  readonly digest: Digest;
  readonly source: string;
  readonly bootId: string;
  readonly observer: Observer;
}

export interface OpenedJournal {
  readonly journal: IngestJournal;
  /** Of the whole blob, in bytes, when the partial's journal knows it. */
  readonly size: number | undefined;
  /** What of the file it vouches for. */
  readonly segments: Segments;
}

export class IngestJournal {
  readonly #options: IngestJournalOptions;
  #synced: readonly Segment[];
  #unwritten = 0;
  #unsynced = 0;
  #running: Promise<void> | undefined;

  private constructor(options: IngestJournalOptions, synced: readonly Segment[]) {
    this.#options = options;
    this.#synced = synced;
  }

  /** Reads what an earlier try left; a new journal is there before the first byte is. */
  static async open(options: IngestJournalOptions): Promise<OpenedJournal> {
    const found = await readJournal(options, options.digest, options.bootId);
    const segments = found?.segments ?? new Segments();
    const journal = new IngestJournal(options, found?.synced ?? []);
    if (found === undefined) {
      await writeJournal(
        options,
        { ...journal.#fixed(), size: undefined, written: [], synced: [] },
        options.bootId,
      );
    }
    return { journal, size: found?.size, segments };
  }

  progressed(handle: FileHandle, bytes: number, size: number | undefined, segments: Segments): void {
    this.#unwritten += bytes;
    this.#unsynced += bytes;
    if (this.#unwritten < everyBytes || this.#running !== undefined) return;
    const sync = this.#unsynced >= syncBytes;
    const written = segments.toJSON();
    this.#unwritten = 0;
    if (sync) this.#unsynced = 0;
    this.#run(async () => {
      if (sync) {
        await handle.datasync();
        this.#synced = written;
      }
      await this.#write(size, written);
    });
  }

  /** Writes the present state now. */
  async write(size: number | undefined, segments: Segments): Promise<void> {
    await this.settle();
    this.#run(() => this.#write(size, segments.toJSON()));
    await this.settle();
  }

  /** The last state of a partial that is kept: on the disk. */
  async finish(handle: FileHandle, size: number | undefined, segments: Segments): Promise<void> {
    await this.settle();
    this.#run(async () => {
      await handle.datasync();
      this.#synced = segments.toJSON();
      await this.#write(size, this.#synced);
    });
    await this.settle();
  }

  /** Everything was wrong: vouches for nothing any more. */
  async restart(): Promise<void> {
    await this.settle();
    this.#synced = [];
    this.#unwritten = 0;
    this.#unsynced = 0;
    await writeJournal(
      this.#options,
      { ...this.#fixed(), size: undefined, written: [], synced: [] },
      this.#options.bootId,
    );
  }

  /** Waits for a write under way. */
  async settle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  #fixed(): { digest: Digest; source: string } {
    return { digest: this.#options.digest, source: this.#options.source };
  }

  async #write(size: number | undefined, written: readonly Segment[]): Promise<void> {
    await writeJournal(
      this.#options,
      { ...this.#fixed(), size, written, synced: this.#synced },
      this.#options.bootId,
    );
  }

  #run(step: () => Promise<void>): void {
    this.#running = step()
      .catch(() => this.#options.observer.storeError('journal'))
      .finally(() => {
        this.#running = undefined;
      });
  }
}
