/**
 * The file of one record: append-only, a checksummed line per entry. Appends of one tick go out in one write, in order; a file that is mostly
 * outdated is rewritten by way of a temp file. Lines of types that this version doesn't know survive a rewrite. No error reaches a pull.
 */
import { constants } from 'node:fs';
import { mkdir, rename, unlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setImmediate as nextTick } from 'node:timers/promises';
import { type Digest, isDigest } from '../../oci/digest.ts';
import { type Descriptor, parseDescriptor } from '../../oci/manifest.ts';
import { isTag, type Reference, type Tag } from '../../oci/name.ts';
import { formatChecksummedLine, parseChecksummedLine } from '../checksummed-line.ts';
import { isOdd, moveOdd, openRegular, readRegular } from '../disk-files.ts';
import { guardDisk, ignoreMissing, isMissing, StoreError, type StoreObserver } from '../store-error.ts';
import type { PastTag } from './tag-history.ts';

export type RecordEntry =
  | { readonly type: 'tag'; readonly tag: Tag; readonly descriptor: Descriptor; readonly checkedAt: number }
  /** `at`: the upstream has it no longer since then. */
  | { readonly type: 'untag'; readonly tag: Tag; readonly at?: number }
  /** A rewrite keeps with it where the tag pointed to. */
  | { readonly type: 'moves'; readonly tag: Tag; readonly moves: readonly PastTag[] }
  | { readonly type: 'miss'; readonly tag: Tag; readonly checkedAt: number }
  | { readonly type: 'manifest'; readonly descriptor: Descriptor }
  | { readonly type: 'forget'; readonly digest: Digest }
  | { readonly type: 'link'; readonly digest: Digest }
  | { readonly type: 'unlink'; readonly digest: Digest }
  | { readonly type: 'pin' | 'unpin'; readonly reference: Reference }
  | { readonly type: 'visibility'; readonly verdict: RepositoryVisibility; readonly checkedAt: number };

/** Whether the upstream gives a repository to anonymous clients, or only with its credentials. */
export type RepositoryVisibility = 'public' | 'private';

export interface RecordFileOptions {
  readonly path: string;
  tempPath(): string;
  readonly observer: StoreObserver;
  onError(error: StoreError): void;
  /** Of the file, after it was read or written; 0: there is none. */
  onSize?(bytes: number): void;
}

export interface ReadRecord {
  readonly entries: readonly RecordEntry[];
  /** Lines that don't match their checksum, or are malformed. */
  readonly damaged: number;
}

const compactAboveBytes = 64 * 1024;
/** Hashing and parsing so many lines takes a few milliseconds; other requests run after them. */
const linesPerTick = 512;

export class RecordFile {
  readonly #options: RecordFileOptions;
  readonly #foreign: string[] = [];
  #pending: string[] = [];
  #compactTo: (() => Iterable<RecordEntry>) | undefined;
  #bytes = 0;
  /** The size after a rewrite; measured at the last one. */
  #usefulBytes = 0;
  /** A crash may have torn the last line: the next one must not be appended to it. */
  #torn = false;
  #running: Promise<void> | undefined;
  #failure: StoreError | undefined;
  /** The file goes before anything more is written. */
  #isRemoved = false;

  constructor(options: RecordFileOptions) {
    this.#options = options;
  }

  /** Call once, first. A missing file has no entries. What is no regular file is moved away. Errors: `StoreError`. */
  async read(): Promise<ReadRecord> {
    const { path, observer } = this.#options;
    const reading = guardDisk(observer, 'record', () => readRegular(path));
    const read = await reading.catch(async error => {
      if (isOdd(error)) {
        await guardDisk(observer, 'record', () => moveOdd(path, this.#options.tempPath()));
        this.#setBytes(0);
      }
      throw error;
    });
    const text = read ?? '';
    const lines = text.split('\n');
    // A last line that lacks only its line feed counts: the next append ends it.
    this.#torn = lines.at(-1) !== '';
    if (!this.#torn) lines.pop();
    const entries: RecordEntry[] = [];
    let damaged = 0;
    for (const [index, line] of lines.entries()) {
      if (index % linesPerTick === linesPerTick - 1) await nextTick();
      const entry = parseRecordEntry(parseChecksummedLine(line));
      if (entry === undefined) damaged += 1;
      else if (entry === 'foreign') this.#foreign.push(`${line}\n`);
      else entries.push(entry);
    }
    this.#setBytes(Buffer.byteLength(text));
    this.#usefulBytes = this.#bytes / 2;
    return { entries, damaged };
  }

  /** `state` gives all entries to keep, for a rewrite of the file. */
  append(entry: RecordEntry, state: () => Iterable<RecordEntry>): void {
    this.#pending.push(formatChecksummedLine(entry));
    this.#compactTo = state;
    this.#run();
  }

  /** The file goes, with what isn't written yet. What is appended later begins a new one. A failure is reported. */
  remove(): void {
    this.#pending = [];
    this.#foreign.length = 0;
    this.#isRemoved = true;
    this.#run();
  }

  /** Of the last write; undefined when it went well. */
  get failure(): StoreError | undefined {
    return this.#failure;
  }

  async flush(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  #run(): void {
    this.#running ??= Promise.resolve()
      .then(() => this.#writeAll())
      .finally(() => {
        this.#running = undefined;
      });
  }

  #setBytes(bytes: number): void {
    this.#bytes = bytes;
    this.#options.onSize?.(bytes);
  }

  async #writeAll(): Promise<void> {
    while (this.#isRemoved || this.#pending.length > 0) {
      try {
        if (this.#isRemoved) await this.#unlink();
        if (this.#pending.length === 0) continue;
        const text = (this.#torn ? '\n' : '') + this.#pending.join('');
        this.#pending = [];
        await guardDisk(this.#options.observer, 'record', () => this.#append(text));
        this.#torn = false;
        this.#failure = undefined;
        this.#setBytes(this.#bytes + Buffer.byteLength(text));
        if (this.#bytes > compactAboveBytes && this.#bytes > 2 * this.#usefulBytes) await this.#compact();
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        this.#torn = true; // a part of the text may be written
        this.#failure = error;
        this.#options.onError(error);
      }
    }
  }

  async #unlink(): Promise<void> {
    this.#isRemoved = false;
    const { path, observer } = this.#options;
    await guardDisk(observer, 'record', () => unlink(path).catch(ignoreMissing));
    this.#torn = false;
    this.#setBytes(0);
  }

  async #append(text: string): Promise<void> {
    const { path } = this.#options;
    try {
      await appendTo(path, text);
    } catch (error) {
      if (!isMissing(error)) throw error;
      await mkdir(dirname(path), { recursive: true, mode: 0o750 });
      await appendTo(path, text);
    }
  }

  async #compact(): Promise<void> {
    const replaced = this.#pending;
    this.#pending = []; // the state contains it; later changes are appended to the new file
    const lines = [...this.#foreign];
    for (const entry of this.#compactTo?.() ?? []) {
      lines.push(formatChecksummedLine(entry));
      if (lines.length % linesPerTick === 0) await nextTick();
    }
    const text = lines.join('');
    const temp = this.#options.tempPath();
    await guardDisk(this.#options.observer, 'record', async () => {
      try {
        await writeFile(temp, text, { mode: 0o640, flush: true });
        await rename(temp, this.#options.path);
      } catch (error) {
        if (!this.#isRemoved) this.#pending = [...replaced, ...this.#pending];
        await unlink(temp).catch(() => undefined); // the first error is thrown
        throw error;
      }
    });
    this.#setBytes(Buffer.byteLength(text));
    this.#usefulBytes = this.#bytes;
  }
}

async function appendTo(path: string, text: string): Promise<void> {
  const handle = await openRegular(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT);
  await handle.appendFile(text).finally(() => handle.close());
}

/** `foreign`: well-formed, of a type that this version doesn't know. Undefined: malformed. */
export function parseRecordEntry(value: unknown): RecordEntry | 'foreign' | undefined {
  if (!isObject(value) || typeof value['type'] !== 'string') return undefined;
  const { type, tag, digest, reference, checkedAt } = value;
  const descriptor = parseDescriptor(value['descriptor']);
  switch (type) {
    case 'tag': {
      if (typeof tag !== 'string' || !isTag(tag) || descriptor === undefined || typeof checkedAt !== 'number')
        return undefined;
      return { type, tag, descriptor, checkedAt };
    }
    case 'miss':
      if (typeof tag !== 'string' || !isTag(tag) || typeof checkedAt !== 'number') return undefined;
      return { type, tag, checkedAt };
    case 'untag':
      if (typeof tag !== 'string' || !isTag(tag)) return undefined;
      return { type, tag, ...(typeof value.at === 'number' && { at: value.at }) };
    case 'moves': {
      const moves = parseMoves(value.moves);
      return typeof tag === 'string' && isTag(tag) && moves !== undefined ? { type, tag, moves } : undefined;
    }
    case 'manifest':
      return descriptor === undefined ? undefined : { type, descriptor };
    case 'forget':
    case 'link':
    case 'unlink':
      return typeof digest === 'string' && isDigest(digest) ? { type, digest } : undefined;
    case 'pin':
    case 'unpin':
      return isReference(reference) ? { type, reference } : undefined;
    case 'visibility': {
      const { verdict } = value;
      if ((verdict !== 'public' && verdict !== 'private') || typeof checkedAt !== 'number') return undefined;
      return { type, verdict, checkedAt };
    }
    default:
      return 'foreign';
  }
}

function parseMoves(value: unknown): readonly PastTag[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const moves: PastTag[] = [];
  for (const item of value) {
    if (!isObject(item) || typeof item.at !== 'number') return undefined;
    const { at, to } = item;
    moves.push({ at, ...(typeof to === 'string' && isDigest(to) && { to }) });
  }
  return moves;
}

function isReference(value: unknown): value is Reference {
  return typeof value === 'string' && (isDigest(value) || isTag(value));
}

/** Only the keys that occur in a record's lines. */
interface LineObject {
  readonly type?: unknown;
  readonly tag?: unknown;
  readonly digest?: unknown;
  readonly reference?: unknown;
  readonly checkedAt?: unknown;
  readonly verdict?: unknown;
  readonly descriptor?: unknown;
  readonly moves?: unknown;
  readonly at?: unknown;
  readonly to?: unknown;
}

function isObject(value: unknown): value is LineObject {
  return typeof value === 'object' && value !== null;
}
