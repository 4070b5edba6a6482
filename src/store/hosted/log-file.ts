/**
 * The file of one hosted repository's log: append-only, a checksummed line per value. What `append` has resolved is synced to the disk;
 * what it has rejected is not in the file. A last line that a crash tore counts as not written. Any other damage is reported, and the
 * file stays as it is until a repair or an operator has decided. `_copy` gets the same lines without a sync, for that repair.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, link, lstat, mkdir, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setImmediate as nextTick } from 'node:timers/promises';
import {
  formatChecksummedLine,
  makeFolder,
  openRegular,
  parseChecksummedLine,
  readRegular,
  writeDurably,
} from '../disk-files.ts';
import type { FolderSyncs } from '../folder-syncs.ts';
import type { StoreLayout } from '../layout.ts';
import { guardDisk, ignoreMissing, StoreError, type StoreObserver } from '../store-error.ts';

export interface LogLines {
  /** Of all lines that are right, in order. */
  readonly values: readonly unknown[];
  /** What is wrong with the file, for people: a line that isn't the last, or lines that are gone. Undefined: nothing. */
  readonly damage: string | undefined;
  /** Of a last line that a crash tore. */
  readonly tornBytes: number;
}

export interface LogFileOptions {
  readonly layout: StoreLayout;
  /** Its name, without a host. */
  readonly repository: string;
  readonly observer: StoreObserver;
  /** Of all logs. */
  readonly folders: FolderSyncs;
}

/** Parsing and formatting so many lines takes a few milliseconds; other requests run after them. */
const linesPerTick = 256;
const lineFeed = 10;

export class LogFile {
  readonly path: string;
  readonly #options: LogFileOptions;
  /** Names the file in `_length`: a rewritten file has another one. Undefined: the file has none. */
  #id: string | undefined;
  /** Of whole lines. What the file has after them was never answered. */
  #bytes = 0;
  #lacksLineFeed = false;
  #noting: Promise<void> = Promise.resolve();
  #isCopyBroken = false;

  /** Errors: NAME_INVALID. */
  constructor(options: LogFileOptions) {
    this.#options = options;
    this.path = options.layout.hostedLogPath(options.repository);
  }

  /** Of whole lines; 0: there is no file. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Call it first. Without a file there are no values. Errors: `StoreError` record: it can't be read, or is no regular file (ODD). */
  async read(): Promise<LogLines> {
    const { observer } = this.#options;
    const bytes = await guardDisk(observer, 'record', () => readBytes(this.path));
    const { values, damaged, tornBytes } = await this.#parse(bytes ?? Buffer.alloc(0));
    if (damaged.length > 0) {
      const [line, ...others] = damaged;
      const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
      return { values, damage: `line ${line}${more} of ${this.path} is damaged`, tornBytes };
    }
    const damage = await this.#lostLines(bytes !== undefined);
    if (damage === undefined && bytes !== undefined) await this.#completeCopy(bytes.subarray(0, this.#bytes));
    return { values, damage, tornBytes };
  }

  /**
   * One line per value, all of them in one write and one sync. Call it only after `read`, and one at a time.
   * Errors: `StoreError` record; the file is as it was, and the next call may succeed.
   */
  async append(values: readonly unknown[]): Promise<void> {
    const id = this.#bytes === 0 ? newId() : this.#id;
    const header = this.#bytes === 0 ? formatChecksummedLine({ type: 'log', id }) : '';
    const lines = values.map(formatChecksummedLine).join('');
    const text = Buffer.from((this.#lacksLineFeed ? '\n' : '') + header + lines);
    await guardDisk(this.#options.observer, 'record', () => this.#write(text));
    const before = this.#bytes;
    this.#id = id;
    this.#bytes += text.length;
    this.#lacksLineFeed = false;
    this.#note(before, path => appendTo(path, text));
  }

  /**
   * Replaces the whole file by way of a temp file. With `damagedTo` the file that is there stays under that path.
   * Errors: `StoreError` write, sync, rename; the file is as it was.
   */
  async replace(values: Iterable<unknown>, damagedTo?: string): Promise<void> {
    const { layout, observer } = this.#options;
    const id = newId();
    const lines = [formatChecksummedLine({ type: 'log', id })];
    for (const value of values) {
      lines.push(formatChecksummedLine(value));
      if (lines.length % linesPerTick === 0) await nextTick();
    }
    const text = Buffer.from(lines.join(''));
    await guardDisk(observer, 'record', () => makeFolder(dirname(this.path)));
    if (damagedTo !== undefined) await guardDisk(observer, 'rename', () => keepAside(this.path, damagedTo));
    await writeDurably(observer, layout.tempPath(), this.path, text);
    this.#id = id;
    this.#bytes = text.length;
    this.#lacksLineFeed = false;
    this.#note(text.length, path => overwrite(path, text));
    await this.#noting;
  }

  /** Resolves when length and copy are written. Never throws. */
  async close(): Promise<void> {
    await this.#noting;
  }

  async #parse(bytes: Buffer): Promise<Pick<LogLines, 'values' | 'tornBytes'> & { damaged: number[] }> {
    const values: unknown[] = [];
    const damaged: number[] = [];
    let count = 0;
    for (let at = 0; at < bytes.length; ) {
      count += 1;
      if (count % linesPerTick === 0) await nextTick();
      const found = bytes.indexOf(lineFeed, at);
      const end = found === -1 ? bytes.length : found;
      const value = parseChecksummedLine(bytes.toString('utf8', at, end));
      if (value === undefined && end + 1 >= bytes.length)
        return { values, damaged, tornBytes: bytes.length - at };
      if (value === undefined) damaged.push(count);
      else if (count === 1 && headerId(value) !== undefined) this.#id = headerId(value);
      else values.push(value);
      this.#lacksLineFeed = found === -1;
      at = end + 1;
      this.#bytes = Math.min(at, bytes.length);
    }
    return { values, damaged, tornBytes: 0 };
  }

  /**
   * `_length` says how long the file was before its last append. It isn't synced, so after a power cut it says less, never more. A file
   * without a first line was never written, unless there is a `_length`, which comes after it.
   */
  async #lostLines(isThere: boolean): Promise<string | undefined> {
    const { layout, repository } = this.#options;
    const text = await readRegular(layout.hostedLengthPath(repository)).catch(() => undefined); // it only adds to what the log says
    const noted = text === undefined ? undefined : parseChecksummedLine(text.trimEnd());
    if (!isNote(noted)) return undefined;
    if (!isThere) return `${this.path} is missing`;
    if (this.#bytes === 0) return `${this.path} has lost all its lines`;
    if (noted.id !== this.#id || this.#bytes >= noted.bytes) return undefined;
    return `${this.path} has lost its end: it has ${this.#bytes} bytes, and had ${noted.bytes} or more`;
  }

  async #write(text: Buffer): Promise<void> {
    const isNew = this.#bytes === 0;
    if (isNew) await mkdir(dirname(this.path), { recursive: true, mode: 0o750 }); // synced with the file's name
    const handle = await openRegular(this.path, constants.O_WRONLY | (isNew ? constants.O_CREAT : 0));
    try {
      const { size } = await handle.stat();
      if (size < this.#bytes) throw this.#shrunk(size);
      if (size > this.#bytes) await handle.truncate(this.#bytes); // of a crash, or of an append whose failure could not be undone
      try {
        await writeAll(handle, text, this.#bytes);
        await handle.datasync();
        if (isNew) await this.#syncFolders();
      } catch (error) {
        await handle.truncate(this.#bytes).catch(() => undefined); // the next append cuts it; the first error is thrown
        throw error;
      }
    } finally {
      await handle.close().catch(() => undefined); // after a sync it means nothing
    }
  }

  /** All of them: a crash may have come before an earlier sync. */
  async #syncFolders(): Promise<void> {
    const { layout, folders } = this.#options;
    const syncs: Promise<void>[] = [];
    for (let folder = dirname(this.path); folder.length >= layout.path.length; folder = dirname(folder))
      syncs.push(folders.sync(folder));
    await Promise.all(syncs);
  }

  /** Another process has cut the file: memory has more than the disk, and must not be appended to it. */
  #shrunk(size: number): StoreError {
    const { observer } = this.#options;
    observer.storeError('record');
    const message = `${this.path} has ${size} bytes instead of ${this.#bytes}: another process has changed it`;
    return new StoreError('record', 'TRUNCATED', message);
  }

  /** What a crash has kept from the copy. */
  async #completeCopy(whole: Buffer): Promise<void> {
    const { layout, repository } = this.#options;
    const path = layout.hostedCopyPath(repository);
    const size = await lstat(path).then(found => (found.isFile() ? found.size : -1), ignoreMissing);
    if (size === whole.length || whole.length === 0) return;
    this.#inTurn(() => overwrite(path, whole));
  }

  /** `copy` does to the copy what was done to the log. */
  #note(bytes: number, copy: (path: string) => Promise<void>): void {
    const { layout, repository } = this.#options;
    const line = formatChecksummedLine({ id: this.#id, bytes });
    this.#inTurn(() => overwrite(layout.hostedLengthPath(repository), line));
    if (!this.#isCopyBroken) this.#inTurn(() => copy(layout.hostedCopyPath(repository)));
  }

  /** Only a repair needs these files, so no commit waits for them or fails with them. */
  #inTurn(work: () => Promise<void>): void {
    this.#noting = this.#noting.then(work).catch(() => {
      this.#isCopyBroken = true; // no line may follow a gap; the next start completes it
      this.#options.observer.storeError('record');
    });
  }
}

async function readBytes(path: string): Promise<Buffer | undefined> {
  const handle = await openRegular(path, constants.O_RDONLY).catch(ignoreMissing);
  if (handle === undefined) return undefined;
  return handle.readFile().finally(() => handle.close());
}

async function writeAll(handle: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, position + at);
    at += bytesWritten;
  }
}

async function overwrite(path: string, text: string | Buffer): Promise<void> {
  const handle = await openRegular(path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC);
  await handle.writeFile(text).finally(() => handle.close());
}

async function appendTo(path: string, text: Buffer): Promise<void> {
  const handle = await openRegular(path, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND);
  await handle.appendFile(text).finally(() => handle.close());
}

/** A second name for it, so that there is always one under the first. What takes no second name is renamed. */
async function keepAside(path: string, to: string): Promise<void> {
  await link(path, to).catch(() => rename(path, to).catch(ignoreMissing));
}

function newId(): string {
  return randomBytes(8).toString('hex');
}

interface Fields {
  readonly type?: unknown;
  readonly id?: unknown;
  readonly bytes?: unknown;
}

/** Undefined: it isn't the first line of a log, which names its file. */
export function headerId(value: unknown): string | undefined {
  const { type, id }: Fields = typeof value === 'object' && value !== null ? value : {};
  return type === 'log' && typeof id === 'string' ? id : undefined;
}

function isNote(value: unknown): value is { readonly id: string; readonly bytes: number } {
  const { id, bytes }: Fields = typeof value === 'object' && value !== null ? value : {};
  return typeof id === 'string' && typeof bytes === 'number';
}
