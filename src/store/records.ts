/** All records of a store: opened once each, kept in memory, flushed at the end. */
import { readdir } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { Logger } from '../telemetry/logger.ts';
import type { StoreLayout } from './layout.ts';
import { RecordFile } from './record-file.ts';
import { RepositoryRecord } from './repository-record.ts';
import { guardDisk, isMissing, type StoreObserver } from './store-error.ts';

export interface RecordsOptions {
  readonly layout: StoreLayout;
  readonly observer: StoreObserver;
  readonly logger: Logger;
}

export class Records {
  readonly #options: RecordsOptions;
  readonly #opened = new Map<string, Promise<RepositoryRecord>>();

  constructor(options: RecordsOptions) {
    this.#options = options;
  }

  /**
   * By canonical name (`docker.io/library/alpine`). A record that can't be read counts as empty and is reported.
   * Errors: NAME_INVALID.
   */
  open(canonicalName: string): Promise<RepositoryRecord> {
    let opened = this.#opened.get(canonicalName);
    if (opened === undefined) {
      opened = this.#open(canonicalName);
      opened.catch(() => this.#opened.delete(canonicalName));
      this.#opened.set(canonicalName, opened);
    }
    return opened;
  }

  /** Canonical names of all records on disk, in no order. Errors: `StoreError` scan. */
  async *names(): AsyncIterable<string> {
    const root = this.#options.layout.recordsFolder;
    const folders = [root];
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      const path = folder;
      const entries = await guardDisk(this.#options.observer, 'scan', () => listFolder(path));
      for (const entry of entries) {
        if (entry.isDirectory()) folders.push(join(path, entry.name));
        else if (entry.name === '_record') yield relative(root, path).split(sep).join('/');
      }
    }
  }

  /** Resolves when everything set so far is written, or its failure is reported. */
  async flush(): Promise<void> {
    await Promise.all([...this.#opened.values()].map(async opened => (await opened).flush()));
  }

  /** Idempotent. */
  close(): Promise<void> {
    return this.flush();
  }

  async #open(canonicalName: string): Promise<RepositoryRecord> {
    const { layout, observer, logger } = this.#options;
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
      return new RepositoryRecord(canonicalName, file, entries);
    } catch (error) {
      logger.warn('a record could not be read', { repository: canonicalName, error });
      return new RepositoryRecord(canonicalName, file, []);
    }
  }
}

async function listFolder(path: string) {
  try {
    return await readdir(path, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
