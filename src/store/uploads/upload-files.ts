/**
 * The folder `uploads-v1/`: makes the files of a session, and finds those of an earlier process. Whatever else lies there is removed at the
 * start: a part without a journal, a journal that can't be read, foreign files, sessions that no request has used for too long.
 */
import { lstat, mkdir, readdir, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { MemoryReturn } from '../../lib/memory-return.ts';
import { isOdd, readRegular } from '../disk-files.ts';
import type { StoreLayout } from '../layout.ts';
import { guardDisk, ignoreMissing, StoreError, type StoreObserver } from '../store-error.ts';
import { UploadFile } from './upload-file.ts';
import {
  isUploadId,
  parseUploadJournal,
  type UploadJournal,
  type UploadRecord,
  writeUploadJournal,
} from './upload-journal.ts';

export interface UploadFilesOptions {
  readonly layout: Pick<StoreLayout, 'uploadsFolder' | 'tempPath'>;
  readonly observer: StoreObserver;
  /** Names this boot of the machine; empty: unknown, then only synced bytes are believed. */
  readonly bootId: string;
}

export interface FoundUpload {
  readonly file: UploadFile;
  /** When its files were last written: milliseconds since the epoch. */
  readonly lastUseMs: number;
}

export class UploadFiles {
  readonly #options: UploadFilesOptions;
  readonly #memory = new MemoryReturn();

  constructor(options: UploadFilesOptions) {
    this.#options = options;
  }

  /** Its journal is there when this resolves; the part file comes with the first byte. Errors: `StoreError` write. */
  async create(record: UploadRecord): Promise<UploadFile> {
    const { layout, observer } = this.#options;
    await guardDisk(observer, 'write', async () => {
      await mkdir(layout.uploadsFolder, { recursive: true, mode: 0o750 });
      await this.#save(record, 0);
    });
    return this.#open(record, 0);
  }

  /** Those that an earlier process has left and that were used since `expiredBeforeMs`; the rest is removed. Errors: `StoreError` scan. */
  async sweep(expiredBeforeMs: number): Promise<{ readonly found: readonly FoundUpload[]; expired: number }> {
    const { layout, observer } = this.#options;
    const names = await guardDisk(observer, 'scan', () => readNames(layout.uploadsFolder));
    const found: FoundUpload[] = [];
    const stays = new Set<string>();
    let expired = 0;
    for (const name of names) {
      const id = name.endsWith('.json') ? name.slice(0, -5) : '';
      const upload = isUploadId(id) ? await this.#find(id) : undefined;
      if (upload === 'unreadable') stays.add(`${id}.json`).add(`${id}.part`);
      if (upload === undefined || upload === 'unreadable') continue;
      if (upload.lastUseMs < expiredBeforeMs) {
        expired += 1;
        continue;
      }
      found.push(upload);
      stays.add(`${id}.json`).add(`${id}.part`);
    }
    for (const name of names) if (!stays.has(name)) await this.#removeLitter(name);
    return { found, expired };
  }

  /** Undefined: its journal is of no use. What can't be read now stays for the next start. */
  async #find(id: string): Promise<FoundUpload | 'unreadable' | undefined> {
    const { observer } = this.#options;
    try {
      return await guardDisk(observer, 'scan', () => this.#read(id));
    } catch (error) {
      return isOdd(error instanceof StoreError ? error.cause : error) ? undefined : 'unreadable'; // reported
    }
  }

  async #read(id: string): Promise<FoundUpload | undefined> {
    const { journalPath, partPath } = this.#paths(id);
    const text = await readRegular(journalPath);
    const journal = text === undefined ? undefined : parseUploadJournal(text, id);
    if (journal === undefined) return undefined;
    const part = await lstat(partPath).catch(ignoreMissing);
    if (part !== undefined && !part.isFile()) return undefined;
    const written = part === undefined ? 0 : this.#believed(journal, part.size);
    if (part !== undefined && written < part.size) await truncate(partPath, written);
    const { mtimeMs } = part ?? (await lstat(journalPath));
    return { file: this.#open(journal.record, written), lastUseMs: mtimeMs };
  }

  #believed({ bootId, synced }: UploadJournal, size: number): number {
    const isSameBoot = bootId !== '' && bootId === this.#options.bootId;
    return isSameBoot ? size : Math.min(synced, size);
  }

  #open(record: UploadRecord, written: number): UploadFile {
    return new UploadFile({
      record,
      written,
      ...this.#paths(record.id),
      observer: this.#options.observer,
      memory: this.#memory,
      saveSynced: bytes => this.#save(record, bytes),
    });
  }

  async #save(record: UploadRecord, synced: number): Promise<void> {
    const { layout, bootId } = this.#options;
    const { journalPath } = this.#paths(record.id);
    await writeUploadJournal(journalPath, layout.tempPath(), { record, synced, bootId });
  }

  #paths(id: string): { readonly partPath: string; readonly journalPath: string } {
    const folder = this.#options.layout.uploadsFolder;
    return { partPath: join(folder, `${id}.part`), journalPath: join(folder, `${id}.json`) };
  }

  /** What can't be removed is reported, and stays. */
  async #removeLitter(name: string): Promise<void> {
    const { layout, observer } = this.#options;
    const path = join(layout.uploadsFolder, name);
    await guardDisk(observer, 'unlink', () => rm(path, { force: true })).catch(() => undefined);
  }
}

async function readNames(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(ignoreMissing)) ?? [];
}
