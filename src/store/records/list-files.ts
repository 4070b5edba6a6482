/**
 * Lists of a repository that outlive a restart, beside its record: `_tags`, and `_referrers-ALGORITHM-HEX` for each manifest. One
 * checksummed line per file, replaced by rename; damage costs a question. Only repositories that have a record get such files.
 */
import { readdir, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Digest } from '../../oci/digest.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { readRegularBytes } from '../disk-files.ts';
import type { StoreLayout } from '../layout.ts';
import { guardDisk, ignoreMissing, isMissing, StoreError, type StoreObserver } from '../store-error.ts';
import { formatListLine, parseListLine, type StoredList } from './list-line.ts';

/** The text comes in pieces, which are asked for in slices of time. */
export interface ListToStore extends Pick<StoredList, 'checkedAt'> {
  readonly pieces: Iterable<string>;
}

export interface ListFilesOptions {
  readonly layout: StoreLayout;
  readonly observer: StoreObserver;
  readonly logger: Logger;
  /** A repository's lists take so many bytes more, or less. */
  onBytes?(repository: string, bytes: number): void;
}

const listPattern = /^(?:_tags|_referrers-.+)$/;

/** A name in the folder of a record. */
export function isListFile(name: string): boolean {
  return listPattern.test(name);
}

/** A longer list costs its questions again after a restart. Characters. */
const maxText = 4 * 1024 * 1024;
const maxWritten = 10_000;
/** A list that was only confirmed is written at most this often. */
const confirmEveryMs = 10 * 60_000;

export class ListFiles {
  readonly #options: ListFilesOptions;
  /** What was written last, so that a confirmed list isn't written each time. */
  readonly #written = new Map<string, { readonly checkedAt: number; readonly sum: string }>();
  /** The last write of each path that is under way. */
  readonly #running = new Map<string, Promise<void>>();

  constructor(options: ListFilesOptions) {
    this.#options = options;
  }

  /** Of that manifest's referrers; without it the tags. Undefined: none, or damaged. Never throws. */
  async read(repository: string, referrersOf?: Digest): Promise<StoredList | undefined> {
    const path = this.#path(repository, referrersOf);
    try {
      await this.#running.get(path);
      const { observer } = this.#options;
      const line = await guardDisk(observer, 'record', () => readRegularBytes(path));
      return line === undefined ? undefined : await parseListLine(line);
    } catch (error) {
      this.#report(repository, error);
      return undefined;
    }
  }

  /** Takes effect later; a failure is reported. */
  write(repository: string, list: ListToStore, referrersOf?: Digest): void {
    const path = this.#path(repository, referrersOf);
    this.#queue(repository, path, () => this.#replace(repository, path, list));
  }

  /** The upstream has it no longer. */
  remove(repository: string, referrersOf?: Digest): void {
    const path = this.#path(repository, referrersOf);
    this.#queue(repository, path, () => this.#unlink(repository, path));
  }

  #queue(repository: string, path: string, work: () => Promise<void>): void {
    const before = this.#running.get(path) ?? Promise.resolve();
    const writing = before
      .then(work)
      .catch(error => this.#report(repository, error))
      .finally(() => {
        if (this.#running.get(path) === writing) this.#running.delete(path);
      });
    this.#running.set(path, writing);
  }

  /** Resolves when everything is written, or its failure is reported. */
  async flush(): Promise<void> {
    await Promise.all(this.#running.values());
  }

  /** All lists of a repository go. A failure is reported. */
  async removeAll(repository: string): Promise<void> {
    const folder = dirname(this.#options.layout.recordPath(repository));
    const names = await readdir(folder).catch(() => []); // the folder of a record that is gone
    for (const name of names.filter(isListFile)) {
      const path = join(folder, name);
      this.#queue(repository, path, () => this.#unlink(repository, path));
    }
    await Promise.all(names.map(name => this.#running.get(join(folder, name))));
  }

  async #replace(repository: string, path: string, { checkedAt, pieces }: ListToStore): Promise<void> {
    const formatted = await formatListLine(checkedAt, pieces, maxText);
    if (formatted === undefined) return this.#unlink(repository, path);
    const { line, sum } = formatted;
    const last = this.#written.get(path);
    if (last?.sum === sum && checkedAt - last.checkedAt < confirmEveryMs) return;
    const { layout, observer } = this.#options;
    const temp = layout.tempPath();
    await guardDisk(observer, 'record', async () => {
      const before = await sizeOf(path);
      try {
        await writeFile(temp, line, { mode: 0o640, flush: true });
        await rename(temp, path);
        this.#options.onBytes?.(repository, line.length - before);
        this.#note(path, { checkedAt, sum });
      } catch (error) {
        await unlink(temp).catch(() => undefined); // the first error is thrown
        if (!isMissing(error)) throw error; // no record: nothing is held of that repository
      }
    });
  }

  #note(path: string, written: { readonly checkedAt: number; readonly sum: string }): void {
    this.#written.delete(path);
    const [oldest] = this.#written.size >= maxWritten ? this.#written.keys() : [];
    if (oldest !== undefined) this.#written.delete(oldest);
    this.#written.set(path, written);
  }

  async #unlink(repository: string, path: string): Promise<void> {
    this.#written.delete(path);
    await guardDisk(this.#options.observer, 'record', async () => {
      const before = await sizeOf(path);
      await unlink(path).catch(ignoreMissing);
      this.#options.onBytes?.(repository, -before);
    });
  }

  #path(repository: string, referrersOf: Digest | undefined): string {
    const folder = dirname(this.#options.layout.recordPath(repository));
    return join(folder, referrersOf === undefined ? '_tags' : `_referrers-${referrersOf.replace(':', '-')}`);
  }

  #report(repository: string, error: unknown): void {
    if (!(error instanceof StoreError)) throw error;
    this.#options.logger.warn('a list could not be read or written', { repository, error });
  }
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(ignoreMissing))?.size ?? 0;
}
