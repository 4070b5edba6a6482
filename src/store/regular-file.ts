/**
 * Opens only regular files. Anything else under a name of the store (a FIFO, a symlink, a folder, a device, left there by an
 * accident or on purpose) is never opened as content: it would block, or lead elsewhere. It counts as damage, and is moved away.
 */
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, rename } from 'node:fs/promises';
import { ignoreMissing, systemCodeOf } from './store-error.ts';

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
