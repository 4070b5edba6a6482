/** `ls`: the images that the records and the store hold. Each manifest of a matching repository is read once; no upstream is asked. */
import type { Digest } from '../oci/digest.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import {
  type ReadManifest,
  readImageTree,
  readManifest,
  type StoredManifest,
  type TypedDigest,
} from '../store/records/image-tree.ts';
import type { Records } from '../store/records/records.ts';
import type { RepositoryRecord } from '../store/records/repository-record.ts';
import { ifReadable } from '../store/store-error.ts';
import type { ListedImage } from './admin.ts';
import { type HeldFile, type HeldFiles, summarizeImage } from './image-summary.ts';

export interface InventoryOptions {
  readonly records: Pick<Records, 'allNames' | 'look'>;
  readonly store: Pick<BlobStore, 'open'>;
}

/** Sorted by repository and tag. Errors: the signal's reason; `StoreError` scan. */
export async function listImages(
  { records, store }: InventoryOptions,
  isWanted: (repository: string) => boolean,
  signal: AbortSignal,
): Promise<readonly ListedImage[]> {
  const names: string[] = [];
  for (const name of await records.allNames()) if (isWanted(name)) names.push(name);
  const sizes = new HeldSizes(store);
  const images: ListedImage[] = [];
  for (const name of names.sort()) {
    signal.throwIfAborted();
    images.push(...(await listRepository(await records.look(name), store, sizes, signal)));
  }
  return images;
}

async function listRepository(
  record: RepositoryRecord,
  store: Pick<BlobStore, 'open'>,
  sizes: HeldSizes,
  signal: AbortSignal,
): Promise<readonly ListedImage[]> {
  const known = new Map<Digest, Promise<StoredManifest | undefined>>();
  const read: ReadManifest = manifest => {
    signal.throwIfAborted();
    const found = known.get(manifest.digest) ?? ifReadable(readManifest(store, manifest));
    known.set(manifest.digest, found);
    return found;
  };
  const tags = [...record.tags()].sort(([a], [b]) => (a < b ? -1 : 1));
  const named = new Set(tags.map(([, entry]) => entry.descriptor.digest));
  for (const manifest of record.manifests())
    for (const child of (await read(manifest))?.parsed.manifests ?? []) named.add(child.digest);

  const images: ListedImage[] = [];
  const described = new Map<Digest, ReturnType<typeof describe>>(); // many tags may name one image
  for (const [tag, { descriptor, checkedAt }] of tags) {
    const description = described.get(descriptor.digest) ?? describe(descriptor, record, read, sizes);
    described.set(descriptor.digest, description);
    const { content } = await description;
    const pinned = record.pins.has(tag) || record.pins.has(descriptor.digest);
    images.push({ repository: record.name, tag, ...content, checkedAt: isoOf(checkedAt), pinned });
  }
  for (const manifest of record.manifests()) {
    if (named.has(manifest.digest)) continue;
    const { content, isHeld } = await describe(manifest, record, read, sizes);
    const pinned = record.pins.has(manifest.digest);
    if (isHeld) images.push({ repository: record.name, tag: null, ...content, checkedAt: null, pinned });
  }
  return images;
}

type Content = Omit<ListedImage, 'repository' | 'tag' | 'checkedAt' | 'pinned'>;

async function describe(
  named: TypedDigest,
  record: RepositoryRecord,
  read: ReadManifest,
  sizes: HeldSizes,
): Promise<{ readonly content: Content; readonly isHeld: boolean }> {
  const { digest, mediaType } = named;
  const tree = await readImageTree(read, named);
  if (tree === undefined) {
    const nothing = { complete: false, heldBytes: 0, neededBytes: 0, lastUsedAt: null };
    return { content: { digest, mediaType, ...nothing }, isHeld: false };
  }
  const summary = await summarizeImage(tree, sizes, blob => record.isLinked(blob));
  const { heldBytes, neededBytes, lastUseMs, missing } = summary;
  const lastUsedAt = lastUseMs === 0 ? null : isoOf(lastUseMs);
  const complete = missing === undefined;
  return { content: { digest, mediaType, complete, heldBytes, neededBytes, lastUsedAt }, isHeld: true };
}

/** The blobs that a listing names: one look at the disk per digest, however many images share it. */
class HeldSizes implements HeldFiles {
  readonly #store: Pick<BlobStore, 'open'>;
  readonly #known = new Map<Digest, Promise<HeldFile | undefined>>();

  constructor(store: Pick<BlobStore, 'open'>) {
    this.#store = store;
  }

  /** Undefined: not held. Never throws. */
  of(digest: Digest): Promise<HeldFile | undefined> {
    let known = this.#known.get(digest);
    if (known === undefined) {
      known = ifReadable(this.#look(digest));
      this.#known.set(digest, known);
    }
    return known;
  }

  async #look(digest: Digest): Promise<HeldFile | undefined> {
    const held = await this.#store.open(digest);
    if (held === undefined) return undefined;
    await held.close();
    return { size: held.size, lastUseMs: held.mtimeMs };
  }
}

/** Null for an invalid time. */
function isoOf(ms: number): string | null {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}
