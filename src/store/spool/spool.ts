/**
 * A bounded queue on disk, for what is sent elsewhere later: in order, at least once, over restarts. What was sent stays until its room is
 * needed or it is too old, so that it can be sent again. The oldest goes first. In memory are only what the next write takes and one segment
 * at most. Appends are not synced: a crash of the process loses nothing that was written, a power cut may lose the last seconds.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../disk-files.ts';
import { guardDisk, type StoreObserver } from '../store-error.ts';
import { Position } from './position.ts';
import { formatEntry, Segment, type SpooledEntry } from './segment.ts';

export type { SpooledEntry };

export interface SpoolLimits {
  readonly entries: number;
  readonly bytes: number;
  /** Older entries aren't sent. */
  readonly ageMs: number;
}

export interface SpoolOptions {
  readonly folder: string;
  readonly limits: SpoolLimits;
  readonly observer: StoreObserver;
  /** So many entries were lost before they were sent: dropped, too old, or damaged. */
  onLost(entries: number): void;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** A segment that has as much takes no more. So much is in memory while it is read, and goes at once above `limits.bytes`. */
const segmentEntries = 256;
const segmentBytes = 1024 * 1024;
/** What waits for a disk that takes nothing, or too slowly. */
const maxPendingBytes = 8 * 1024 * 1024;

interface Pending {
  readonly at: number;
  readonly value: unknown;
  /** About: before it has its number. */
  readonly bytes: number;
}

export class Spool {
  readonly #options: SpoolOptions;
  readonly #position: Position;
  readonly #segments: Segment[] = [];
  /** This process appends to it. */
  #open: Segment | undefined;
  /** Without those of `#batch`, which are just being written. */
  #pending: Pending[] = [];
  #batch: readonly Pending[] = [];
  /** Of both. */
  #pendingBytes = 0;
  #writing: Promise<void> | undefined;
  /** Number of the oldest entry that is kept. */
  #oldest = 0;
  /** Number of the next entry to be written. */
  #new = 0;
  #reading: { readonly segment: Segment; offset: number; entries: readonly SpooledEntry[] } | undefined;
  /** Number of the entry that is being sent. */
  #taken: number | undefined;

  private constructor(options: SpoolOptions) {
    this.#options = options;
    this.#position = new Position(options.folder);
  }

  /** Errors: `StoreError` spool. */
  static open(options: SpoolOptions): Promise<Spool> {
    return guardDisk(options.observer, 'spool', async () => {
      const spool = new Spool(options);
      await spool.#load();
      return spool;
    });
  }

  /** How many are to be sent. */
  get waiting(): number {
    return this.#new - this.#position.next + this.#batch.length + this.#pending.length;
  }

  /** Bytes on disk and in memory. */
  get bytes(): number {
    return this.#pendingBytes + this.#segments.reduce((sum, segment) => sum + segment.bytes, 0);
  }

  /** Written soon, by `flush` at the latest. `value`: anything that JSON has. Never throws. */
  append(value: unknown): void {
    const bytes = JSON.stringify(value).length;
    this.#pending.push({ at: this.#options.now(), value, bytes });
    this.#pendingBytes += bytes;
    this.#bound();
    // What comes in one turn goes out in one write. After an error, the next append or `take` tries again.
    if (this.#writing !== undefined) return;
    this.#writing = Promise.resolve().then(() => this.#write());
    this.#writing.catch(() => undefined); // once: a handler per entry would stay until the disk has caught up
  }

  /** The next entry to be sent, which stays the next until `done`. Undefined: there is none now. Errors: `StoreError` spool. */
  async take(): Promise<SpooledEntry | undefined> {
    this.#forgetTaken();
    for (;;) {
      if (this.#position.next >= this.#new) await this.flush();
      if (this.#position.next >= this.#new) return undefined;
      const entry = await guardDisk(this.#options.observer, 'spool', () => this.#read());
      if (entry === undefined) continue;
      if (this.#options.now() - entry.at < this.#options.limits.ageMs) {
        this.#taken = entry.number;
        return entry;
      }
      this.#skipTo(entry.number + 1);
    }
  }

  /** It was sent. Errors: `StoreError` spool: then a restart may send it again. */
  done({ number }: SpooledEntry): Promise<void> {
    this.#taken = undefined;
    this.#position.sentBelow = Math.max(this.#position.sentBelow, number + 1);
    this.#position.next = Math.max(this.#position.next, number + 1);
    return guardDisk(this.#options.observer, 'spool', async () => {
      await this.#position.save();
      await this.#removeOld();
    });
  }

  /** All that is kept is to be sent again, the oldest first. Gives the count of what is to be sent now. Errors: as `take`. */
  async rewind(): Promise<number> {
    this.#forgetTaken();
    this.#position.next = this.#oldest;
    this.#reading = undefined;
    await this.take(); // skips what is too old
    this.#taken = undefined;
    await guardDisk(this.#options.observer, 'spool', () => this.#position.save());
    return this.waiting;
  }

  /** Writes what waits. Errors: `StoreError` spool; what waits is kept. */
  async flush(): Promise<void> {
    await this.#writing?.catch(() => undefined); // tried again, below
    if (this.#pending.length === 0) return;
    this.#writing ??= this.#write();
    await this.#writing;
  }

  async #write(): Promise<void> {
    try {
      await guardDisk(this.#options.observer, 'spool', () => this.#writeAll());
    } finally {
      this.#writing = undefined;
    }
  }

  async #writeAll(): Promise<void> {
    for (let [head] = this.#pending; head !== undefined; [head] = this.#pending) {
      if (this.#open === undefined || isFull(this.#open)) {
        this.#open = new Segment(this.#options.folder, this.#new, head.at);
        this.#segments.push(this.#open);
      }
      const segment = this.#open;
      let [text, number] = ['', this.#new];
      for (const { at, value } of this.#pending) {
        if (number - segment.first >= segmentEntries || segment.bytes + text.length >= segmentBytes) break;
        text += formatEntry({ number, at, value });
        number += 1;
      }
      this.#batch = this.#pending.splice(0, number - this.#new);
      try {
        await segment.append(text, number - 1);
      } catch (error) {
        this.#pending = [...this.#batch, ...this.#pending];
        this.#batch = [];
        throw error;
      }
      for (const { bytes } of this.#batch) this.#pendingBytes -= bytes;
      this.#batch = [];
      this.#new = number;
      this.#bound();
      await this.#removeOld();
    }
  }

  /** Keeps to the limits: the oldest go, and those that were never sent are lost. */
  #bound(): void {
    const { limits } = this.#options;
    const newest = this.#new + this.#batch.length;
    let oldest = Math.max(this.#oldest, newest + this.#pending.length - limits.entries);
    let { bytes } = this;
    for (const segment of this.#segments) {
      if (bytes <= limits.bytes || segment === this.#open) break;
      oldest = Math.max(oldest, segment.last + 1);
      bytes -= segment.bytes;
    }
    this.#dropBelow(Math.min(oldest, this.#new));
    let inMemory = oldest - newest; // more than the disk has: a burst within one turn, or a disk that takes nothing
    while (this.#pending.length > 0 && (inMemory > 0 || this.#pendingBytes > maxPendingBytes)) {
      this.#pendingBytes -= this.#pending.shift()?.bytes ?? 0;
      this.#options.onLost(1);
      inMemory -= 1;
    }
  }

  #dropBelow(oldest: number): void {
    if (oldest <= this.#oldest) return;
    const { next, sentBelow } = this.#position;
    const lost = oldest - Math.max(next, sentBelow, this.#oldest);
    const taken = this.#taken ?? -1;
    const isSending = taken >= Math.max(sentBelow, this.#oldest) && taken < oldest;
    this.#oldest = oldest;
    this.#position.next = Math.max(next, oldest);
    const certain = isSending ? lost - 1 : lost; // the one that is being sent may still arrive
    if (certain > 0) this.#options.onLost(certain);
  }

  /** The last one taken was not sent: it is lost if it was dropped meanwhile. */
  #forgetTaken(): void {
    const taken = this.#taken;
    this.#taken = undefined;
    if (taken !== undefined && taken < this.#oldest && taken >= this.#position.sentBelow)
      this.#options.onLost(1);
  }

  #skipTo(next: number): void {
    const lost = next - Math.max(this.#position.next, this.#position.sentBelow);
    this.#position.next = next;
    if (lost > 0) this.#options.onLost(lost);
  }

  /** The entry at the position. Undefined: what stood there can't be read and was skipped. Errors: system errors. */
  async #read(): Promise<SpooledEntry | undefined> {
    const { next } = this.#position;
    const segment = this.#segments.find(({ last }) => last >= next);
    if (segment === undefined) {
      this.#skipTo(this.#new);
      return undefined;
    }
    if (this.#reading?.segment !== segment) this.#reading = { segment, offset: 0, entries: [] };
    const reading = this.#reading;
    let entry = reading.entries.find(({ number }) => number >= next);
    if (entry === undefined) {
      const { bytes, last } = segment;
      reading.entries = (await segment.read(reading.offset)).filter(({ number }) => number <= last);
      reading.offset = bytes;
      if (this.#position.next !== next) return undefined; // dropped meanwhile
      entry = reading.entries.find(({ number }) => number >= next);
      if (entry === undefined) {
        this.#skipTo(last + 1);
        return undefined;
      }
    }
    if (entry.number > next) this.#skipTo(entry.number);
    return entry;
  }

  async #removeOld(): Promise<void> {
    const { now, limits } = this.#options;
    for (;;) {
      const [segment, following] = this.#segments;
      if (segment === undefined || following === undefined) return;
      const isSent = segment.last < this.#position.next;
      const isOld = now() - following.at >= limits.ageMs; // and so are all in `segment`
      if (segment.last >= this.#oldest && !(isSent && isOld)) return;
      this.#oldest = Math.max(this.#oldest, segment.last + 1);
      this.#segments.shift();
      await segment.remove();
    }
  }

  async #load(): Promise<void> {
    const { folder } = this.#options;
    await makeFolder(folder);
    await this.#position.load();
    for (const name of (await readdir(folder)).sort()) {
      const parsed = Segment.parseName(name);
      if (parsed === undefined) continue;
      const before = this.#segments.at(-1);
      if (before !== undefined) before.last = parsed.first - 1;
      const { size: bytes } = await stat(join(folder, name));
      this.#segments.push(new Segment(folder, parsed.first, parsed.at, { last: parsed.first, bytes }));
    }
    const newest = this.#segments.at(-1);
    if (newest !== undefined) newest.last = (await newest.read(0)).at(-1)?.number ?? newest.first;
    const { next, sentBelow } = this.#position;
    this.#new = Math.max(next, sentBelow, (newest?.last ?? -1) + 1);
    // What goes by the count now went before, and was counted then.
    this.#oldest = Math.max(this.#segments[0]?.first ?? this.#new, this.#new - this.#options.limits.entries);
    this.#position.next = Math.max(next, this.#oldest);
    this.#bound();
  }
}

function isFull(segment: Segment): boolean {
  return segment.last - segment.first + 1 >= segmentEntries || segment.bytes >= segmentBytes;
}
