/**
 * The partials in `ingest-v1/`: swept after a crash, found, counted, removed. The sweep runs while requests are served, so it doesn't touch
 * a blob that is being filled; it leaves partials with their journals and nothing else.
 */
import { lstat, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../../oci/digest.ts';
import type { StoreLayout } from '../layout.ts';
import { guardDisk, ignoreMissing, type StoreObserver } from '../store-error.ts';

export interface SweepOptions {
  readonly layout: StoreLayout;
  readonly observer: StoreObserver;
  /** How long an unused partial is kept, in ms. */
  readonly partialTtlMs: number;
  now(): number;
  /** That digest is being filled. */
  isActive(digest: Digest): boolean;
}

export interface FoundPartial {
  readonly digest: Digest;
  /** On disk. */
  readonly bytes: number;
  readonly lastUseMs: number;
}

/** Resolves with the partials that stay. A file that can't be removed is reported and stays too. Errors: `StoreError` scan. */
export async function sweepIngests(options: SweepOptions): Promise<readonly FoundPartial[]> {
  const { layout, observer, now, partialTtlMs, isActive } = options;
  const names = await guardDisk(observer, 'scan', () => readdir(layout.ingestFolder));
  const present = new Set(names);
  const stays: FoundPartial[] = [];
  for (const name of names) {
    const found = layout.parseIngestName(name);
    if (!('digest' in found)) {
      if (!layout.isOwnTemp(name)) await removeLitter(observer, join(layout.ingestFolder, name));
      continue;
    }
    if (isActive(found.digest)) continue;
    const partner = found.kind === 'part' ? name.replace(/part$/, 'json') : name.replace(/json$/, 'part');
    if (!present.has(partner)) {
      await removeLitter(observer, join(layout.ingestFolder, name));
      continue;
    }
    if (found.kind === 'journal') continue;
    const part = await statIfThere(observer, join(layout.ingestFolder, name));
    if (part === undefined) continue;
    if (!part.isFile()) {
      await removeLitter(observer, join(layout.ingestFolder, name));
      continue;
    }
    const isExpired = now() - part.mtimeMs > partialTtlMs;
    if (isExpired && (await succeeds(removePartial(options, found.digest)))) continue;
    stays.push({ digest: found.digest, bytes: part.size, lastUseMs: part.mtimeMs });
  }
  return stays;
}

/** Undefined: there is none. Errors: `StoreError` scan. */
export async function findPartial(
  { layout, observer }: Pick<SweepOptions, 'layout' | 'observer'>,
  digest: Digest,
): Promise<FoundPartial | undefined> {
  const part = await statIfThere(observer, layout.partPath(digest));
  return part?.isFile() === true ? { digest, bytes: part.size, lastUseMs: part.mtimeMs } : undefined;
}

/** A partial and its journal. Resolves with the bytes freed. Errors: `StoreError` unlink. */
export async function removePartial(
  { layout, observer }: { readonly layout: StoreLayout; readonly observer: StoreObserver },
  digest: Digest,
): Promise<number> {
  const part = await statIfThere(observer, layout.partPath(digest));
  await removeFile(observer, layout.partPath(digest));
  await removeFile(observer, layout.journalPath(digest));
  return part?.size ?? 0;
}

/** A folder (`lost+found`) or a file that can't be removed is reported, and stays. */
async function removeLitter(observer: StoreObserver, path: string): Promise<void> {
  await succeeds(removeFile(observer, path));
}

/** The failure was reported already; one file must not keep the rest of the store from being counted. */
function succeeds(removal: Promise<unknown>): Promise<boolean> {
  return removal.then(
    () => true,
    () => false,
  );
}

async function removeFile(observer: StoreObserver, path: string): Promise<void> {
  await guardDisk(observer, 'unlink', () => unlink(path).catch(ignoreMissing));
}

async function statIfThere(observer: StoreObserver, path: string) {
  return guardDisk(observer, 'scan', () => lstat(path).catch(ignoreMissing));
}

/** For a store without a daemon. Bytes of partials on disk. Errors: system errors of a folder that can't be read. */
export async function sumPartials(layout: StoreLayout): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(layout.ingestFolder)) {
    if (layout.parseIngestName(name).kind !== 'part') continue;
    bytes += (await lstat(join(layout.ingestFolder, name)).catch(ignoreMissing))?.size ?? 0;
  }
  return bytes;
}
