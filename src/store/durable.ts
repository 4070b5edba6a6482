/**
 * Writes that survive a power cut: bytes are synced before their file gets its name, and the name is synced before the caller goes on.
 * A crash leaves the old state, the new state, or a temp file that the next sweep removes; never a wrong file under a right name.
 */
import { type FileHandle, mkdir, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { guardDisk, isMissing, type StoreObserver, systemCodeOf } from './store-error.ts';

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
export async function makeFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o750 });
  if (first === undefined) return;
  for (let folder = path; folder.length >= first.length; folder = dirname(folder)) {
    await syncFolder(dirname(folder));
  }
}

/**
 * Gives a file whose bytes are synced its final name, and makes the name durable. Replaces what was there.
 * Errors: `StoreError` rename or sync.
 */
export async function renameDurably(observer: StoreObserver, from: string, to: string): Promise<void> {
  await guardDisk(observer, 'rename', async () => {
    try {
      await rename(from, to);
    } catch (error) {
      if (!isMissing(error)) throw error;
      await makeFolder(dirname(to)); // the first one with these two digits; if `from` is missing, the next line says so
      await rename(from, to);
    }
  });
  await guardDisk(observer, 'sync', () => syncFolder(dirname(to)));
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
): Promise<void> {
  try {
    const handle = await guardDisk(observer, 'write', () => open(temp, 'wx', 0o640));
    try {
      await guardDisk(observer, 'write', () => handle.writeFile(bytes));
      await guardDisk(observer, 'sync', () => handle.datasync());
    } finally {
      await closeQuietly(handle);
    }
    await renameDurably(observer, temp, to);
  } catch (error) {
    await unlink(temp).catch(() => undefined); // the first error is thrown; the sweep removes a file that stays
    throw error;
  }
}

/** After a sync an error of close means nothing, and it must not hide the error that led here. */
async function closeQuietly(handle: FileHandle): Promise<void> {
  await handle.close().catch(() => undefined);
}
