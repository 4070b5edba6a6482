/**
 * The journal beside a partial: which of its bytes can be believed after the process or the machine died. `written` is believed after a
 * crash of the process only (same boot: the page cache survived), `synced` always. Each write replaces the file by rename. The digest still
 * decides in the end: a journal that can't be believed costs bytes, never correctness.
 */
import { constants } from 'node:fs';
import { type FileHandle, readFile, rename, rm } from 'node:fs/promises';
import type { Digest } from '../../oci/digest.ts';
import type { Observer } from '../../telemetry/observer.ts';
import { isOdd, moveOdd, openRegular, readRegular } from '../disk-files.ts';

const everyBytes = 1024 * 1024;
const syncBytes = 32 * 1024 * 1024;

/** Half-open. */
export type Segment = readonly [start: number, end: number];

/** Which bytes of a file are there: sorted, disjoint spans. Neighbours that touch are merged. */
export class Segments {
  #list: Segment[];

  /** Errors: RangeError when the list is not sorted, disjoint and within whole non-negative numbers. */
  constructor(list: readonly Segment[] = []) {
    let last = -1;
    for (const [start, end] of list) {
      if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start <= last || end <= start) {
        throw new RangeError(`segments must be sorted and disjoint, [${start}, ${end}] comes after ${last}`);
      }
      last = end;
    }
    this.#list = [...list];
  }

  add(start: number, end: number): void {
    if (end <= start) return;
    const last = this.#list.at(-1);
    if (last !== undefined && last[1] === start) {
      this.#list[this.#list.length - 1] = [last[0], end]; // the common case: a transfer goes on
      return;
    }
    const before = this.#list.filter(segment => segment[1] < start);
    const after = this.#list.filter(segment => segment[0] > end);
    const touched = this.#list.slice(before.length, this.#list.length - after.length);
    const from = Math.min(start, touched[0]?.[0] ?? start);
    const to = Math.max(end, touched.at(-1)?.[1] ?? end);
    this.#list = [...before, [from, to], ...after];
  }

  /** Where the bytes that start at `offset` end: `offset` itself when it isn't held. */
  endFrom(offset: number): number {
    return this.#list.find(([start, end]) => start <= offset && offset < end)?.[1] ?? offset;
  }

  /** The first byte at or after `offset` that isn't held, and where the next held one begins (if any). */
  nextGap(offset: number): { readonly start: number; readonly end: number | undefined } {
    const start = this.endFrom(offset);
    return { start, end: this.#list.find(segment => segment[0] > start)?.[0] };
  }

  /** Drops everything at or after `offset`. */
  truncate(offset: number): void {
    this.#list = this.#list
      .filter(([start]) => start < offset)
      .map(([start, end]): Segment => [start, Math.min(end, offset)]);
  }

  get bytes(): number {
    return this.#list.reduce((sum, [start, end]) => sum + end - start, 0);
  }

  toJSON(): readonly Segment[] {
    return [...this.#list];
  }
}

export interface IngestJournalOptions {
  readonly digest: Digest;
  /** For the operator: `docker.io/library/alpine`. */
  readonly source: string;
  readonly journalPath: string;
  /** A new name in the same folder. */
  tempPath(): string;
  readonly bootId: string;
  readonly observer: Observer;
}

export interface OpenedJournal {
  readonly journal: IngestJournal;
  /** Of the whole blob, in bytes, when the partial's journal knows it. */
  readonly size: number | undefined;
  /** The bytes of the file that it vouches for. */
  readonly segments: Segments;
}

/**
 * Writes the journal of one ingest: after each MiB in the page cache, and after each 32 MiB synced. It runs beside the transfer, one write
 * at a time. A failed write only costs bytes after a crash, so it is reported and not thrown.
 */
export class IngestJournal {
  readonly #options: IngestJournalOptions;
  #synced: readonly Segment[];
  #size: number | undefined;
  #unwritten = 0;
  #unsynced = 0;
  #running: Promise<void> | undefined;

  private constructor(options: IngestJournalOptions, synced: readonly Segment[]) {
    this.#options = options;
    this.#synced = synced;
  }

  /** Reads the journal of an earlier try, or writes a new one: it exists before the first byte does. */
  static async open(options: IngestJournalOptions): Promise<OpenedJournal> {
    const found = await readJournal(options, options.digest, options.bootId);
    const segments = found?.segments ?? new Segments();
    const journal = new IngestJournal(options, found?.synced ?? []);
    if (found === undefined) await journal.#write(undefined, []);
    return { journal, size: found?.size, segments };
  }

  progressed(handle: FileHandle, bytes: number, size: number | undefined, segments: Segments): void {
    this.#unwritten += bytes;
    this.#unsynced += bytes;
    this.#size = size;
    if (this.#unwritten < everyBytes || this.#running !== undefined) return;
    this.#run(() => this.#catchUp(handle, segments));
  }

  /** Goes on until less than a MiB has come during a write: when the transfer pauses, the next chunk may never come. */
  async #catchUp(handle: FileHandle, segments: Segments): Promise<void> {
    while (this.#unwritten >= everyBytes) {
      const sync = this.#unsynced >= syncBytes;
      const written = segments.toJSON();
      this.#unwritten = 0;
      if (sync) {
        this.#unsynced = 0;
        await handle.datasync();
        this.#synced = written;
      }
      await this.#write(this.#size, written);
    }
  }

  /** Writes the present state now. */
  async write(size: number | undefined, segments: Segments): Promise<void> {
    await this.settle();
    this.#run(() => this.#write(size, segments.toJSON()));
    await this.settle();
  }

  /** Syncs and writes the last state of a partial that is kept. */
  async finish(handle: FileHandle, size: number | undefined, segments: Segments): Promise<void> {
    await this.settle();
    this.#run(async () => {
      await handle.datasync();
      this.#synced = segments.toJSON();
      await this.#write(size, this.#synced);
    });
    await this.settle();
  }

  /** After wrong bytes: it vouches for none. */
  async restart(): Promise<void> {
    await this.settle();
    this.#synced = [];
    this.#unwritten = 0;
    this.#unsynced = 0;
    await this.#write(undefined, []);
  }

  /** Waits for a running write. */
  async settle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async #write(size: number | undefined, written: readonly Segment[]): Promise<void> {
    const { digest, source, bootId } = this.#options;
    await writeJournal(this.#options, { digest, source, size, written, synced: this.#synced }, bootId);
  }

  #run(step: () => Promise<void>): void {
    this.#running = step()
      .catch(() => this.#options.observer.storeError('journal'))
      .finally(() => {
        this.#running = undefined;
      });
  }
}

export interface JournalState {
  readonly digest: Digest;
  /** Of the whole blob, in bytes; undefined while the upstream hides it. */
  readonly size: number | undefined;
  /** Where it comes from, for the operator: `docker.io/library/alpine`. */
  readonly source: string;
  readonly written: readonly Segment[];
  readonly synced: readonly Segment[];
}

export interface BelievedPartial {
  readonly size: number | undefined;
  readonly segments: Segments;
  /** Those of them that are synced. */
  readonly synced: readonly Segment[];
}

export interface JournalPaths {
  readonly journalPath: string;
  /** A new name in the same folder. */
  tempPath(): string;
}

export async function writeJournal(paths: JournalPaths, state: JournalState, bootId: string): Promise<void> {
  const temporary = paths.tempPath();
  try {
    const handle = await openRegular(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL);
    await handle.writeFile(JSON.stringify({ version: 1, bootId, ...state })).finally(() => handle.close());
    await rename(temporary, paths.journalPath);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** The state to believe. Undefined: the journal is missing or can't be parsed. Errors: system errors. */
export async function readJournal(
  paths: JournalPaths,
  digest: Digest,
  bootId: string,
): Promise<BelievedPartial | undefined> {
  const text = await readRegular(paths.journalPath).catch(async error => {
    if (!isOdd(error)) throw error;
    await moveOdd(paths.journalPath, paths.tempPath());
  });
  return text === undefined ? undefined : parseJournal(text, digest, bootId);
}

function parseJournal(text: string, digest: Digest, bootId: string): BelievedPartial | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (!isRecord(value) || value['version'] !== 1 || value['digest'] !== digest) return undefined;
    const size = value['size'];
    if (size !== undefined && !(typeof size === 'number' && Number.isSafeInteger(size) && size >= 0))
      return undefined;
    const isSameBoot = bootId !== '' && value['bootId'] === bootId;
    const synced = parseSegments(value['synced'], size);
    const segments = isSameBoot ? parseSegments(value['written'], size) : synced;
    return { size, segments, synced: synced.toJSON() };
  } catch {
    return undefined; // torn or foreign: the partial counts as empty
  }
}

/** Errors: any, when it isn't a list of segments. */
function parseSegments(value: unknown, size: number | undefined): Segments {
  if (!Array.isArray(value) || !value.every(isSegment)) throw new TypeError('expected a list of segments');
  const segments = new Segments(value);
  if (size !== undefined) segments.truncate(size);
  return segments;
}

/** Names this boot of the machine. Empty if unknown: then only synced bytes are believed. */
export async function readBootId(): Promise<string> {
  try {
    return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  } catch {
    return '';
  }
}

function isSegment(value: unknown): value is Segment {
  return Array.isArray(value) && value.length === 2 && value.every(part => typeof part === 'number');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
