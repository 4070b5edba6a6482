/**
 * Writes that survive a power cut: bytes are synced before their file gets its name, and the name is synced before the caller goes on.
 * A crash leaves the old state, the new state, or a temp file that the next sweep removes; never a wrong file under a right name.
 *
 * And opening only regular files. Anything else under a name of the store (a FIFO, a symlink, a folder, a device, left there by an
 * accident or on purpose) is never opened as content: it would block, or lead elsewhere. It counts as damage, and is moved away.
 *
 * And the lines of records and logs: each has its own checksum, so that a reader tells one that a crash tore from a whole one.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { guardDisk, ignoreMissing, isMissing, type StoreObserver, systemCodeOf } from './store-error.ts';

/** Answers to fsync of a folder from file systems without that feature (network, FUSE). */
const unsyncable: ReadonlySet<string | undefined> = new Set([
  'EINVAL',
  'ENOTSUP',
  'EOPNOTSUPP',
  'EPERM',
  'EISDIR',
]);

/** Makes the names in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } catch (error) {
    if (!unsyncable.has(systemCodeOf(error))) throw error;
  } finally {
    await handle.close();
  }
}

/** Makes a folder and the missing ones above it, durably. */
export async function makeFolder(path: string, sync = syncFolder): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o750 });
  if (first === undefined) return;
  for (let folder = path; folder.length >= first.length; folder = dirname(folder)) {
    await sync(dirname(folder));
  }
}

/**
 * Gives a file whose bytes are synced its final name, and makes the name durable. Replaces what was there.
 * Errors: `StoreError` rename or sync.
 */
export async function renameDurably(
  observer: StoreObserver,
  from: string,
  to: string,
  sync = syncFolder,
): Promise<void> {
  await guardDisk(observer, 'rename', async () => {
    try {
      await rename(from, to);
    } catch (error) {
      if (!isMissing(error)) throw error;
      await makeFolder(dirname(to), sync); // the first one with these two digits; if `from` is missing, the next line says so
      await rename(from, to);
    }
  });
  await guardDisk(observer, 'sync', () => sync(dirname(to)));
}

/**
 * Writes a small file by way of `temp`. On failure `temp` is removed and `to` is as it was.
 * Errors: `StoreError` write, sync or rename.
 */
export async function writeDurably(
  observer: StoreObserver,
  temp: string,
  to: string,
  bytes: Uint8Array,
  mode = 0o640,
  sync = syncFolder,
): Promise<void> {
  try {
    const handle = await guardDisk(observer, 'write', () => open(temp, 'wx', mode));
    try {
      await guardDisk(observer, 'write', () => handle.writeFile(bytes));
      await guardDisk(observer, 'sync', () => handle.datasync());
    } finally {
      await closeQuietly(handle);
    }
    await renameDurably(observer, temp, to, sync);
  } catch (error) {
    await unlink(temp).catch(() => undefined); // the first error is thrown; the sweep removes a file that stays
    throw error;
  }
}

/** After a sync an error of close means nothing, and it must not hide the error that led here. */
async function closeQuietly(handle: FileHandle): Promise<void> {
  await handle.close().catch(() => undefined);
}

/** O_NONBLOCK: opening a FIFO must not wait for its other end. It means nothing for regular files. */
const carefully = constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** What `open` says to a symlink, a FIFO without a reader, a socket, a folder, a device without a driver. */
const oddCodes: ReadonlySet<string | undefined> = new Set(['ELOOP', 'ENXIO', 'EISDIR', 'ENODEV', 'ODD']);

/** Errors: one of `isOdd` for what is no regular file; system errors as they are. */
export async function openRegular(path: string, flags: number, mode = 0o640): Promise<FileHandle> {
  const handle = await open(path, flags | carefully, mode).catch(error => {
    throw oddCodes.has(systemCodeOf(error)) ? odd(path) : error;
  });
  try {
    if ((await handle.stat()).isFile()) return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
  await handle.close();
  throw odd(path);
}

/** Undefined: there is none. Errors: as `openRegular`. */
export async function readRegular(path: string): Promise<string | undefined> {
  return (await readRegularBytes(path))?.toString('utf8');
}

/** As `readRegular`. */
export async function readRegularBytes(path: string): Promise<Buffer | undefined> {
  const handle = await openRegular(path, constants.O_RDONLY).catch(ignoreMissing);
  if (handle === undefined) return undefined;
  try {
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

export function isOdd(error: unknown): boolean {
  return oddCodes.has(systemCodeOf(error));
}

/** Renames what is no regular file, so that one can take its place. Errors: system errors. */
export async function moveOdd(path: string, to: string): Promise<void> {
  const found = await lstat(path).catch(ignoreMissing);
  if (found !== undefined && !found.isFile()) await rename(path, to).catch(ignoreMissing);
}

/** As the system would say it, so that it is reported like any other failure of the disk. */
function odd(path: string): Error {
  return Object.assign(new Error(`${path} is no regular file`), { code: 'ODD' });
}

/** Eight hex digits of the SHA-256 of the rest, a space, JSON, a line feed. */
export function formatChecksummedLine(value: unknown): string {
  const text = JSON.stringify(value);
  return `${checksumOf(text)} ${text}\n`;
}

/** `line` without its line feed. Undefined: torn or damaged. */
export function parseChecksummedLine(line: string): unknown {
  const text = line.slice(9);
  if (line[8] !== ' ' || line.slice(0, 8) !== checksumOf(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the checksum matches by chance
  }
}

function checksumOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}
