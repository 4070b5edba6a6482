/**
 * Lists of a repository that outlive a restart, beside its record: `_tags`, and `_referrers-ALGORITHM-HEX` for each manifest. One
 * checksummed line per file, replaced by rename; damage costs a question. Only repositories that have a record get such files.
 */
import { createHash } from 'node:crypto';
import { readFile, rename, unlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Digest } from '../../oci/digest.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { formatChecksummedLine, parseChecksummedLine } from '../checksummed-line.ts';
import type { StoreLayout } from '../layout.ts';
import { guardDisk, ignoreMissing, isMissing, StoreError, type StoreObserver } from '../store-error.ts';

export interface StoredList {
  readonly checkedAt: number;
  /** What the cache made of the upstream's answer. */
  readonly text: string;
}

export interface ListFilesOptions {
  readonly layout: StoreLayout;
  readonly observer: StoreObserver;
  readonly logger: Logger;
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
      const text = await guardDisk(observer, 'record', () => readFile(path, 'utf8').catch(ignoreMissing));
      return text === undefined ? undefined : parseList(parseChecksummedLine(text.trimEnd()));
    } catch (error) {
      this.#report(repository, error);
      return undefined;
    }
  }

  /** Takes effect later; a failure is reported. */
  write(repository: string, list: StoredList, referrersOf?: Digest): void {
    const path = this.#path(repository, referrersOf);
    const sum = createHash('sha256').update(list.text).digest('base64');
    const last = this.#written.get(path);
    if (last?.sum === sum && list.checkedAt - last.checkedAt < confirmEveryMs) return;
    this.#written.delete(path);
    const [oldest] = this.#written.size >= maxWritten ? this.#written.keys() : [];
    if (oldest !== undefined) this.#written.delete(oldest);
    this.#written.set(path, { checkedAt: list.checkedAt, sum });
    this.#queue(repository, path, list);
  }

  /** The upstream has it no longer. */
  remove(repository: string, referrersOf?: Digest): void {
    const path = this.#path(repository, referrersOf);
    this.#written.delete(path);
    this.#queue(repository, path, undefined);
  }

  #queue(repository: string, path: string, list: StoredList | undefined): void {
    const before = this.#running.get(path) ?? Promise.resolve();
    const writing = before
      .then(() => this.#replace(path, list))
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

  async #replace(path: string, list: StoredList | undefined): Promise<void> {
    const { layout, observer } = this.#options;
    const temp = layout.tempPath();
    await guardDisk(observer, 'record', async () => {
      if (list === undefined || list.text.length > maxText) return unlink(path).catch(ignoreMissing);
      try {
        await writeFile(temp, formatChecksummedLine(list), { mode: 0o640, flush: true });
        await rename(temp, path);
      } catch (error) {
        await unlink(temp).catch(() => undefined); // the first error is thrown
        if (!isMissing(error)) throw error; // no record: nothing is held of that repository
      }
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

function parseList(value: unknown): StoredList | undefined {
  if (typeof value !== 'object' || value === null || !('checkedAt' in value) || !('text' in value))
    return undefined;
  const { checkedAt, text } = value;
  return typeof checkedAt === 'number' && typeof text === 'string' ? { checkedAt, text } : undefined;
}
