/**
 * All records of a store. A record in use is one object, so that its file has one writer. The last ones used stay in memory, older ones only
 * while they are in use, so names that clients make up cost no memory. When a repository was last used is the mtime of its record.
 */
import { rmdir, utimes } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Digest } from '../../oci/digest.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { StoreLayout } from '../layout.ts';
import { guardDisk, ignoreMissing, StoreError, type StoreObserver } from '../store-error.ts';
import { ListFiles } from './list-files.ts';
import { type RecordEntry, RecordFile, type RepositoryVisibility } from './record-file.ts';
import { findRecords } from './record-folders.ts';
import { RecordTable, type UnusedRecord } from './record-table.ts';
import { type RecordListener, RepositoryRecord } from './repository-record.ts';

export interface RecordsOptions {
  readonly layout: StoreLayout;
  readonly observer: StoreObserver;
  readonly logger: Logger;
  readonly listener?: RecordListener;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** Records that stay in memory while they are not in use. */
const maxRecent = 4096;
/** The last use of a repository is written at most this often. */
export const markUseEveryMs = 24 * 3600_000;

export class Records {
  /** What upstreams said of whole lists, for after a restart. */
  readonly lists: ListFiles;
  readonly #options: RecordsOptions;
  readonly #now: () => number;
  readonly #table = new RecordTable();
  #loading: Promise<void> | undefined;
  #noted: Set<Digest> | undefined;
  readonly #marking = new Set<Promise<void>>();
  readonly #opening = new Map<string, Promise<RepositoryRecord>>();
  readonly #known = new Map<string, WeakRef<RepositoryRecord>>();
  readonly #dead = new FinalizationRegistry((name: string) => this.#forget(name));
  /** In the order of their last use. */
  readonly #recent = new Map<string, RepositoryRecord>();

  constructor(options: RecordsOptions) {
    const { layout, observer, logger } = options;
    this.#options = options;
    this.#now = options.now ?? Date.now;
    const onBytes = (name: string, bytes: number) => this.#table.addListBytes(name, bytes);
    this.lists = new ListFiles({ layout, observer, logger, onBytes });
  }

  /** Of records and lists on disk. Complete once they were read with `load`. */
  get bytes(): number {
    return this.#table.bytes;
  }

  /**
   * For a client, which uses the repository. By canonical name (`docker.io/library/alpine`). A record that can't be read
   * counts as empty and is reported; where the process was short of descriptors or memory, for this caller alone.
   * Errors: NAME_INVALID.
   */
  open(canonicalName: string): Promise<RepositoryRecord> {
    const known = this.peek(canonicalName);
    return known === undefined ? this.#openUsed(canonicalName) : Promise.resolve(known);
  }

  /** As `open`, for those who only look: that is no use. */
  look(canonicalName: string): Promise<RepositoryRecord> {
    const known = this.#known.get(canonicalName)?.deref();
    if (known !== undefined) return Promise.resolve(known);
    let opening = this.#opening.get(canonicalName);
    if (opening === undefined) {
      opening = this.#open(canonicalName).finally(() => this.#opening.delete(canonicalName));
      this.#opening.set(canonicalName, opening);
    }
    return opening;
  }

  /** A record that is in memory. */
  peek(canonicalName: string): RepositoryRecord | undefined {
    const known = this.#known.get(canonicalName)?.deref();
    if (known !== undefined) this.#use(known);
    return known;
  }

  async #openUsed(canonicalName: string): Promise<RepositoryRecord> {
    const record = await this.look(canonicalName);
    if (this.#known.has(canonicalName)) this.#use(record); // else it couldn't be read
    return record;
  }

  async #load(): Promise<void> {
    const { layout, observer } = this.#options;
    for await (const { name, ...found } of findRecords(layout.recordsFolder, observer))
      this.#table.found(name, found);
  }

  /** Reads the folders, once; what can't be read is tried again by the next caller. Errors: `StoreError` scan. */
  load(): Promise<void> {
    this.#loading ??= this.#load().catch(error => {
      this.#loading = undefined;
      throw error;
    });
    return this.#loading;
  }

  /** Canonical names of all records on disk, sorted by code units. Complete once `load` has resolved; no look at the disk. */
  names(): readonly string[] {
    return this.#table.names();
  }

  /** As `names`, complete. Errors: `StoreError` scan. */
  async allNames(): Promise<readonly string[]> {
    await this.load();
    return this.names();
  }

  /** Undefined: not checked yet. A look at the disk where the record was never read. */
  async visibilityOf(canonicalName: string): Promise<RepositoryVisibility | undefined> {
    const known = this.#table.visibilityOf(canonicalName);
    return known === 'unread' ? (await this.look(canonicalName)).visibility?.verdict : known;
  }

  /** Repositories without a use since then, the one used longest ago first. */
  unusedSince(beforeMs: number): UnusedRecord[] {
    return this.#table.unusedSince(beforeMs);
  }

  /** False: it was used since then. */
  isUnusedSince(canonicalName: string, beforeMs: number): boolean {
    return (this.#table.lastUseMs(canonicalName) ?? Infinity) < beforeMs;
  }

  /** A set that gets the digests of manifests as records come to name them, until the next call. */
  noteManifests(isWanted: boolean): ReadonlySet<Digest> {
    const noted = new Set<Digest>();
    this.#noted = isWanted ? noted : undefined;
    return noted;
  }

  /** Its record and its lists go. Resolves when they are gone, or the failure is reported. */
  async remove(record: RepositoryRecord): Promise<void> {
    const { layout } = this.#options;
    await record.clear();
    await this.lists.removeAll(record.name);
    this.#table.forget(record.name);
    for (let folder = dirname(layout.recordPath(record.name)); folder !== layout.recordsFolder; ) {
      if (
        !(await rmdir(folder).then(
          () => true,
          () => false,
        ))
      )
        return; // other repositories lie below it
      folder = dirname(folder);
    }
  }

  /** Resolves when everything set so far is written, or its failure is reported. */
  async flush(): Promise<void> {
    await Promise.allSettled([...this.#opening.values()]);
    await Promise.all([...this.#known.values()].map(known => known.deref()?.flush()));
    await Promise.all(this.#marking);
    await this.lists.flush();
  }

  /** Idempotent. */
  close(): Promise<void> {
    return this.flush();
  }

  async #open(canonicalName: string): Promise<RepositoryRecord> {
    const { record, isRead } = await this.#read(canonicalName);
    if (!isRead) return record;
    this.#known.set(canonicalName, new WeakRef(record));
    this.#dead.register(record, canonicalName);
    return record;
  }

  #use(record: RepositoryRecord): void {
    const nowMs = this.#now();
    if (Math.abs(nowMs - record.usedMs) >= markUseEveryMs) this.#markUse(record, nowMs);
    this.#recent.delete(record.name);
    this.#recent.set(record.name, record);
    if (this.#recent.size <= maxRecent) return;
    const [oldest] = this.#recent.keys();
    if (oldest !== undefined) this.#recent.delete(oldest);
  }

  #markUse(record: RepositoryRecord, nowMs: number): void {
    record.usedMs = nowMs;
    if (!this.#table.setLastUse(record.name, nowMs)) return; // it has no file: the first entry makes one
    const path = this.#options.layout.recordPath(record.name);
    const marking = guardDisk(this.#options.observer, 'record', () =>
      utimes(path, nowMs / 1000, nowMs / 1000).catch(ignoreMissing),
    )
      .catch(error =>
        this.#options.logger.warn('the last use of a repository could not be written', { error }),
      )
      .finally(() => this.#marking.delete(marking));
    this.#marking.add(marking);
  }

  #forget(name: string): void {
    if (this.#known.get(name)?.deref() === undefined) this.#known.delete(name);
  }

  async #read(
    canonicalName: string,
  ): Promise<{ readonly record: RepositoryRecord; readonly isRead: boolean }> {
    const { layout, observer, logger } = this.#options;
    const path = layout.recordPath(canonicalName);
    const file = new RecordFile({
      path,
      tempPath: () => layout.tempPath(),
      observer,
      onError: error => logger.warn('a record could not be written', { repository: canonicalName, error }),
      onSize: bytes => this.#setBytes(canonicalName, bytes),
    });
    const make = (entries: readonly RecordEntry[]) => {
      const record = new RepositoryRecord(canonicalName, file, entries, {
        heard: (entry, of) => this.#heard(entry, of),
      });
      this.#table.setVisibility(canonicalName, record.visibility?.verdict);
      record.usedMs = this.#table.lastUseMs(canonicalName) ?? 0;
      return record;
    };
    try {
      const { entries, damaged } = await file.read();
      if (damaged > 0)
        logger.warn('skipped damaged lines of a record', { repository: canonicalName, damaged });
      return { record: make(entries), isRead: true };
    } catch (error) {
      logger.warn('a record could not be read', { repository: canonicalName, error });
      const isRead = !(error instanceof StoreError && error.isPassing);
      return { record: make([]), isRead };
    }
  }

  #setBytes(name: string, bytes: number): void {
    this.#table.setRecordBytes(name, bytes);
    const { usedMs = 0 } = this.#known.get(name)?.deref() ?? {};
    if (usedMs > 0 && this.#table.lastUseMs(name) === undefined) this.#table.setLastUse(name, usedMs);
  }

  #heard(entry: RecordEntry, record: RepositoryRecord): void {
    this.#table.noteEntry(record.name);
    if (entry.type === 'visibility') this.#table.setVisibility(record.name, entry.verdict);
    if (entry.type === 'manifest') this.#noted?.add(entry.descriptor.digest);
    this.#options.listener?.heard(entry, record);
  }
}
