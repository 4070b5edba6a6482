/**
 * All records of a store. A record in use is one object, so that its file has one writer. The last ones used stay in memory, older ones only
 * while they are in use, so names that clients make up cost no memory.
 */
import { readdir } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { Logger } from '../../telemetry/logger.ts';
import type { StoreLayout } from '../layout.ts';
import { guardDisk, ignoreMissing, StoreError, type StoreObserver } from '../store-error.ts';
import { ListFiles } from './list-files.ts';
import { RecordFile } from './record-file.ts';
import { type RecordListener, RepositoryRecord } from './repository-record.ts';

export interface RecordsOptions {
  readonly layout: StoreLayout;
  readonly observer: StoreObserver;
  readonly logger: Logger;
  readonly listener?: RecordListener;
}

/** Records that stay in memory while they are not in use. */
const maxRecent = 4096;

export class Records {
  /** What upstreams said of whole lists, for after a restart. */
  readonly lists: ListFiles;
  readonly #options: RecordsOptions;
  readonly #opening = new Map<string, Promise<RepositoryRecord>>();
  readonly #known = new Map<string, WeakRef<RepositoryRecord>>();
  readonly #dead = new FinalizationRegistry((name: string) => this.#forget(name));
  /** In the order of their last use. */
  readonly #recent = new Map<string, RepositoryRecord>();

  constructor(options: RecordsOptions) {
    this.#options = options;
    this.lists = new ListFiles(options);
  }

  /**
   * By canonical name (`docker.io/library/alpine`). A record that can't be read counts as empty and is reported; where the
   * process was short of descriptors or memory, for this caller alone.
   * Errors: NAME_INVALID.
   */
  open(canonicalName: string): Promise<RepositoryRecord> {
    const known = this.peek(canonicalName);
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

  /** Canonical names of all records on disk, in no order. Errors: `StoreError` scan. */
  async *names(): AsyncIterable<string> {
    const root = this.#options.layout.recordsFolder;
    const folders = [root];
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      const path = folder;
      const entries = await guardDisk(this.#options.observer, 'scan', () =>
        readdir(path, { withFileTypes: true }).catch(ignoreMissing),
      );
      for (const entry of entries ?? []) {
        if (entry.isDirectory()) folders.push(join(path, entry.name));
        else if (entry.name === '_record') yield relative(root, path).split(sep).join('/');
      }
    }
  }

  /** Resolves when everything set so far is written, or its failure is reported. */
  async flush(): Promise<void> {
    await Promise.allSettled([...this.#opening.values()]);
    await Promise.all([...this.#known.values()].map(known => known.deref()?.flush()));
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
    this.#use(record);
    return record;
  }

  #use(record: RepositoryRecord): void {
    this.#recent.delete(record.name);
    this.#recent.set(record.name, record);
    if (this.#recent.size <= maxRecent) return;
    const [oldest] = this.#recent.keys();
    if (oldest !== undefined) this.#recent.delete(oldest);
  }

  #forget(name: string): void {
    if (this.#known.get(name)?.deref() === undefined) this.#known.delete(name);
  }

  async #read(
    canonicalName: string,
  ): Promise<{ readonly record: RepositoryRecord; readonly isRead: boolean }> {
    const { layout, observer, logger, listener } = this.#options;
    const file = new RecordFile({
      path: layout.recordPath(canonicalName),
      tempPath: () => layout.tempPath(),
      observer,
      onError: error => logger.warn('a record could not be written', { repository: canonicalName, error }),
    });
    try {
      const { entries, damaged } = await file.read();
      if (damaged > 0)
        logger.warn('skipped damaged lines of a record', { repository: canonicalName, damaged });
      return { record: new RepositoryRecord(canonicalName, file, entries, listener), isRead: true };
    } catch (error) {
      logger.warn('a record could not be read', { repository: canonicalName, error });
      const isRead = !(error instanceof StoreError && error.isPassing);
      return { record: new RepositoryRecord(canonicalName, file, [], listener), isRead };
    }
  }
}
