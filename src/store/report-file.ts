/**
 * The file of the daily report: checksummed lines, appended once a minute, rewritten when most of them are outdated. A line that a crash tore
 * is passed over. It is not synced: a crash of the process loses nothing that was appended, a power cut may lose the last minutes.
 */
import { constants } from 'node:fs';
import { rename, unlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { TimeSlice } from '../lib/time-slice.ts';
import {
  formatChecksummedLine,
  isOdd,
  makeFolder,
  moveOdd,
  openRegular,
  parseChecksummedLine,
  readRegular,
} from './disk-files.ts';
import { guardDisk, isMissing, type StoreObserver } from './store-error.ts';

export interface ReportFileOptions {
  readonly path: string;
  tempPath(): string;
  readonly observer: StoreObserver;
}

/** A smaller file isn't worth a rewrite. */
const rewriteAboveBytes = 256 * 1024;

export class ReportFile {
  readonly #options: ReportFileOptions;
  #bytes = 0;
  /** After the last rewrite. */
  #usefulBytes = 0;
  /** The last line may be torn: the next one must not be appended to it. */
  #isTorn = false;

  constructor(options: ReportFileOptions) {
    this.#options = options;
  }

  /** In the order in which they were appended. What is no regular file is moved away. Errors: `StoreError` record. */
  async read(): Promise<readonly unknown[]> {
    const { path, observer, tempPath } = this.#options;
    const read = await guardDisk(observer, 'record', async () => {
      try {
        return (await readRegular(path)) ?? '';
      } catch (error) {
        if (!isOdd(error)) throw error;
        await moveOdd(path, tempPath());
        return '';
      }
    });
    this.#bytes = Buffer.byteLength(read);
    this.#usefulBytes = this.#bytes / 2;
    const lines = read.split('\n');
    this.#isTorn = lines.at(-1) !== '';
    if (!this.#isTorn) lines.pop();
    const values: unknown[] = [];
    const slice = new TimeSlice();
    for (const line of lines) {
      await slice.pause();
      const value = parseChecksummedLine(line);
      if (value !== undefined) values.push(value);
    }
    return values;
  }

  /** Most of its lines are outdated. */
  get isBloated(): boolean {
    return this.#bytes > rewriteAboveBytes && this.#bytes > 2 * this.#usefulBytes;
  }

  /** Errors: `StoreError` record. */
  async append(values: Iterable<unknown>): Promise<void> {
    const text = (this.#isTorn ? '\n' : '') + (await formatLines(values));
    await guardDisk(this.#options.observer, 'record', () => this.#append(text));
    this.#isTorn = false;
    this.#bytes += Buffer.byteLength(text);
  }

  /** These lines instead of all. Errors: `StoreError` record: then it is as it was. */
  async rewrite(values: Iterable<unknown>): Promise<void> {
    const text = await formatLines(values);
    const temp = this.#options.tempPath();
    await guardDisk(this.#options.observer, 'record', async () => {
      try {
        await makeFolder(dirname(this.#options.path));
        await writeFile(temp, text, { mode: 0o640, flush: true });
        await rename(temp, this.#options.path);
      } catch (error) {
        await unlink(temp).catch(() => undefined); // the first error is thrown
        throw error;
      }
    });
    this.#isTorn = false;
    this.#bytes = Buffer.byteLength(text);
    this.#usefulBytes = this.#bytes;
  }

  async #append(text: string): Promise<void> {
    const { path } = this.#options;
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT;
    this.#isTorn = true; // until all of it is written
    const handle = await openRegular(path, flags).catch(async error => {
      if (!isMissing(error)) throw error;
      await makeFolder(dirname(path));
      return openRegular(path, flags);
    });
    await handle.appendFile(text).finally(() => handle.close());
  }
}

/** Other requests run in between. */
async function formatLines(values: Iterable<unknown>): Promise<string> {
  const lines: string[] = [];
  const slice = new TimeSlice();
  for (const value of values) {
    await slice.pause();
    lines.push(formatChecksummedLine(value));
  }
  return lines.join('');
}
