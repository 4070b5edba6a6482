/**
 * The file of one record: append-only, a guarded line per entry. Appends of one turn go out in one write, in order; a
 * file that is mostly waste is rewritten by way of a temp file. Nothing here throws into a pull.
 */
import { appendFile, mkdir, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { guardDisk, isMissing, StoreError, type StoreObserver } from '../store-error.ts';
import { formatChecksummedLine, parseChecksummedLine } from './checksummed-line.ts';
import { parseRecordEntry, type RecordEntry } from './record-entry.ts';

export interface RecordFileOptions {
  readonly path: string;
  tempPath(): string;
  readonly observer: StoreObserver;
  onError(error: StoreError): void;
}

export interface ReadRecord {
  readonly entries: readonly RecordEntry[];
  /** Lines that didn't match their guard, or said nonsense. */
  readonly damaged: number;
}

const compactAboveBytes = 64 * 1024;
/** Hashing and JSON of so many lines takes a few milliseconds; others get their turn after them. */
const linesPerTurn = 512;

export class RecordFile {
  readonly #options: RecordFileOptions;
  readonly #foreign: string[] = [];
  #pending: string[] = [];
  #compactTo: (() => Iterable<RecordEntry>) | undefined;
  #bytes = 0;
  /** What a rewrite would leave; measured at the last one. */
  #usefulBytes = 0;
  /** A crash may have torn the last line: the next one must not be glued to it. */
  #torn = false;
  #running: Promise<void> | undefined;
  #failure: StoreError | undefined;

  constructor(options: RecordFileOptions) {
    this.#options = options;
  }

  /** Call once, first. A missing file has no entries. Errors: `StoreError` record. */
  async read(): Promise<ReadRecord> {
    const text = await guardDisk(this.#options.observer, 'record', () => readIfThere(this.#options.path));
    const lines = text.split('\n');
    // A last line that lost no more than its end is whole: it counts now as it would once the next append ends it.
    this.#torn = lines.at(-1) !== '';
    if (!this.#torn) lines.pop();
    const entries: RecordEntry[] = [];
    let damaged = 0;
    for (const [index, line] of lines.entries()) {
      if (index % linesPerTurn === linesPerTurn - 1) await nextTurn();
      const entry = parseRecordEntry(parseChecksummedLine(line));
      if (entry === undefined) damaged += 1;
      else if (entry === 'foreign') this.#foreign.push(`${line}\n`);
      else entries.push(entry);
    }
    this.#bytes = Buffer.byteLength(text);
    this.#usefulBytes = this.#bytes / 2;
    return { entries, damaged };
  }

  /** `state` gives all that is worth keeping, should the file be rewritten instead. */
  append(entry: RecordEntry, state: () => Iterable<RecordEntry>): void {
    this.#pending.push(formatChecksummedLine(entry));
    this.#compactTo = state;
    this.#running ??= Promise.resolve()
      .then(() => this.#writeAll())
      .finally(() => {
        this.#running = undefined;
      });
  }

  /** Of the last write; undefined when it went well. */
  get failure(): StoreError | undefined {
    return this.#failure;
  }

  async flush(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async #writeAll(): Promise<void> {
    while (this.#pending.length > 0) {
      const text = (this.#torn ? '\n' : '') + this.#pending.join('');
      this.#pending = [];
      try {
        await guardDisk(this.#options.observer, 'record', () => this.#append(text));
        this.#torn = false;
        this.#failure = undefined;
        this.#bytes += Buffer.byteLength(text);
        if (this.#bytes > compactAboveBytes && this.#bytes > 2 * this.#usefulBytes) await this.#compact();
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        this.#torn = true; // a part of it may be there
        this.#failure = error;
        this.#options.onError(error);
      }
    }
  }

  async #append(text: string): Promise<void> {
    const { path } = this.#options;
    try {
      await appendFile(path, text, { mode: 0o640 });
    } catch (error) {
      if (!isMissing(error)) throw error;
      await mkdir(dirname(path), { recursive: true, mode: 0o750 });
      await appendFile(path, text, { mode: 0o640 });
    }
  }

  async #compact(): Promise<void> {
    const replaced = this.#pending;
    this.#pending = []; // the state has it all; what changes from here on is appended to the new file
    const lines = [...this.#foreign];
    for (const entry of this.#compactTo?.() ?? []) {
      lines.push(formatChecksummedLine(entry));
      if (lines.length % linesPerTurn === 0) await nextTurn();
    }
    const text = lines.join('');
    const temp = this.#options.tempPath();
    await guardDisk(this.#options.observer, 'record', async () => {
      try {
        await writeFile(temp, text, { mode: 0o640, flush: true });
        await rename(temp, this.#options.path);
      } catch (error) {
        this.#pending = [...replaced, ...this.#pending];
        await unlink(temp).catch(() => undefined); // the first error is the one to tell
        throw error;
      }
    });
    this.#bytes = Buffer.byteLength(text);
    this.#usefulBytes = this.#bytes;
  }
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return '';
    throw error;
  }
}
