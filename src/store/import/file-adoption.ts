/**
 * A blob's file from another folder of this machine becomes one of the store: as a reflink where the file system has them, else as
 * a hard link, else as a copy. It gets its name only when its bytes have been compared with its digest and are on the disk.
 */

import { constants, type Stats } from 'node:fs';
import { chmod, copyFile, type FileHandle, link, lstat, open, unlink } from 'node:fs/promises';
import { algorithmOf, createDigester, type Digest, finishDigest } from '../../oci/digest.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { renameDurably } from '../disk-files.ts';
import type { StoreLayout } from '../layout.ts';
import { guardDisk, isMissing, type StoreObserver, systemCodeOf } from '../store-error.ts';

export type AdoptedAs = 'present' | 'reflink' | 'hardlink' | 'copy' | 'fetched';

export interface Adopted {
  readonly as: AdoptedAs;
  /** Bytes. */
  readonly size: number;
}

/** What a file system says that can't do it, or not between these two files. */
const unableCodes: ReadonlySet<string | undefined> = new Set([
  'EXDEV',
  'ENOTSUP',
  'EOPNOTSUPP',
  'EINVAL',
  'ENOSYS',
  'ENOTTY',
  'EPERM',
  'EACCES',
  'EMLINK',
]);
const readBytes = 1024 * 1024;

export interface FileAdoptionOptions {
  readonly layout: StoreLayout;
  readonly store: Pick<BlobStore, 'sizeOf'>;
  readonly observer: StoreObserver;
}

export class FileAdoption {
  readonly #options: FileAdoptionOptions;

  constructor(options: FileAdoptionOptions) {
    this.#options = options;
  }

  /**
   * Undefined: there is no regular file, or its bytes have another digest. The file at `path` stays as it is. Errors: `StoreError`; the
   * signal's reason.
   */
  async adopt(digest: Digest, path: string, signal: AbortSignal): Promise<Adopted | undefined> {
    const held = await this.#options.store.sizeOf(digest);
    if (held !== undefined) return { as: 'present', size: held };
    const found = await lstatFile(path);
    if (found === undefined) return undefined;
    const temp = this.#options.layout.tempPath();
    return await this.#finish(digest, temp, signal, () =>
      guardDisk(this.#options.observer, 'write', () => bring(path, found, temp)),
    );
  }

  /**
   * Of bytes that come from elsewhere, hashed as they are written. Undefined: they have another digest; all of `bytes` is read all the
   * same. Errors: `StoreError`; those of `bytes`; the signal's reason.
   */
  async store(
    digest: Digest,
    bytes: AsyncIterable<Buffer>,
    signal: AbortSignal,
  ): Promise<Adopted | undefined> {
    const { layout, observer } = this.#options;
    const temp = layout.tempPath();
    try {
      const size = await writeHashed(observer, digest, bytes, { temp, signal });
      if (size === undefined) return undefined;
      await renameDurably(observer, temp, layout.blobPath(digest));
      return { as: 'fetched', size };
    } finally {
      await unlink(temp).catch(() => undefined); // renamed, or swept after the next start
    }
  }

  async #finish(
    digest: Digest,
    temp: string,
    signal: AbortSignal,
    write: () => Promise<AdoptedAs>,
  ): Promise<Adopted | undefined> {
    const { layout, observer } = this.#options;
    try {
      const as = await write();
      const size = await guardDisk(observer, 'read', () => verify(digest, temp, signal));
      if (size === undefined) return undefined;
      await renameDurably(observer, temp, layout.blobPath(digest));
      return { as, size };
    } finally {
      await unlink(temp).catch(() => undefined); // renamed, or swept after the next start
    }
  }
}

/** Bytes; undefined: they have another digest. They are on the disk afterwards. */
async function writeHashed(
  observer: StoreObserver,
  digest: Digest,
  bytes: AsyncIterable<Buffer>,
  { temp, signal }: { readonly temp: string; readonly signal: AbortSignal },
): Promise<number | undefined> {
  const hash = createDigester(algorithmOf(digest));
  const handle = await guardDisk(observer, 'write', () => open(temp, 'wx', 0o640));
  let size = 0;
  try {
    for await (const chunk of bytes) {
      signal.throwIfAborted();
      hash.update(chunk);
      size += chunk.length;
      await guardDisk(observer, 'write', () => handle.writeFile(chunk));
    }
    if (finishDigest(algorithmOf(digest), hash) !== digest) return undefined;
    await guardDisk(observer, 'sync', () => handle.datasync());
    return size;
  } finally {
    await handle.close();
  }
}

async function bring(path: string, found: Stats, temp: string): Promise<AdoptedAs> {
  try {
    await copyFile(path, temp, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
    await chmod(temp, 0o640);
    return 'reflink';
  } catch (error) {
    await removeUnable(temp, error);
  }
  // A hard link shares owner and mode with the source: only where they are this process' own
  if (found.uid === process.geteuid?.()) {
    try {
      await link(path, temp);
      return 'hardlink';
    } catch (error) {
      await removeUnable(temp, error);
    }
  }
  await copyFile(path, temp, constants.COPYFILE_EXCL);
  await chmod(temp, 0o640);
  return 'copy';
}

/** Errors: any that doesn't say that the file system can't do it. */
async function removeUnable(temp: string, error: unknown): Promise<void> {
  if (!unableCodes.has(systemCodeOf(error))) throw error;
  await unlink(temp).catch(() => undefined); // most are refused before there is a file
}

/** Bytes; undefined: it has another digest. It is on the disk afterwards. */
async function verify(digest: Digest, path: string, signal: AbortSignal): Promise<number | undefined> {
  const handle = await open(path, 'r');
  try {
    const size = await hashInto(handle, digest, signal);
    if (size !== undefined) await handle.datasync();
    return size;
  } finally {
    await handle.close();
  }
}

async function hashInto(
  handle: FileHandle,
  digest: Digest,
  signal: AbortSignal,
): Promise<number | undefined> {
  const hash = createDigester(algorithmOf(digest));
  const buffer = Buffer.allocUnsafe(readBytes);
  let size = 0;
  for (;;) {
    signal.throwIfAborted();
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, size);
    if (bytesRead === 0) return finishDigest(algorithmOf(digest), hash) === digest ? size : undefined;
    hash.update(buffer.subarray(0, bytesRead));
    size += bytesRead;
  }
}

async function lstatFile(path: string): Promise<Stats | undefined> {
  try {
    const found = await lstat(path);
    return found.isFile() ? found : undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
