/**
 * `evict`: removes an image from the records, and from the disk those of its blobs that no other held image needs. Blobs that are pinned or
 * being filled stay. The records change first, so a client that pulls the image meanwhile fetches it again.
 */
import { type Digest, isDigest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import type { Tag } from '../oci/name.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import {
  blobsOf,
  type ImageTree,
  readImageTree,
  readManifest,
  type TypedDigest,
} from '../store/records/image-tree.ts';
import type { PinnedBlobs } from '../store/records/pinned-blobs.ts';
import type { Records } from '../store/records/records.ts';
import type { RepositoryRecord } from '../store/records/repository-record.ts';
import { StoreError } from '../store/store-error.ts';
import type { EvictReport } from './admin.ts';
import { formatImage, type ImageName } from './image-name.ts';

export interface EvictionOptions {
  readonly records: Pick<Records, 'allNames' | 'look' | 'open'>;
  readonly store: Pick<BlobStore, 'open' | 'remove' | 'sizeOf'>;
  readonly pins: Pick<PinnedBlobs, 'isPinned'>;
  /** That digest is being filled. */
  isActive(digest: Digest): boolean;
  /** A hosted repository needs it, or may need it. */
  isHosted(digest: Digest): boolean;
  /** Its file was removed: whatever counts or keeps it must forget it. */
  blobRemoved(digest: Digest, bytes: number): void;
  manifestRemoved(digest: Digest, bytes: number): void;
}

type Removed = Pick<EvictReport, 'freedBytes' | 'manifests' | 'blobs' | 'kept'>;

/** True: nothing changes, and the report says what would. */
export interface EvictWanted {
  readonly dryRun?: boolean;
}

export class ImageEviction {
  readonly #options: EvictionOptions;

  constructor(options: EvictionOptions) {
    this.#options = options;
  }

  /** A blob of any repository; images that need it fetch it again. Errors: BLOB_UNKNOWN, DENIED. */
  async evictBlob(
    digest: Digest,
    signal: AbortSignal,
    { dryRun = false }: EvictWanted = {},
  ): Promise<EvictReport> {
    const { pins, records, isActive, isHosted } = this.#options;
    for (const name of await records.allNames()) {
      signal.throwIfAborted();
      if ((await records.look(name)).manifest(digest) === undefined) continue;
      const message = `this is the digest of a manifest and not of a blob: evict it as ${name}@${digest}`;
      throw new RegistryError('UNSUPPORTED', { message });
    }
    if (await pins.isPinned(digest)) throw pinned(digest);
    if (isActive(digest))
      throw new RegistryError('DENIED', { message: `${digest} is being downloaded, it stays` });
    if (isHosted(digest))
      throw new RegistryError('DENIED', { message: `a hosted repository needs ${digest}, it stays` });
    const removed = await this.#remove({ manifests: [], blobs: [digest] }, signal, dryRun);
    if (removed.blobs === 0) throw notHeld('BLOB_UNKNOWN', digest);
    return { image: digest, tags: [], ...removed };
  }

  /** Errors: MANIFEST_UNKNOWN, DENIED, UNAVAILABLE. */
  async evictImage(
    image: ImageName,
    signal: AbortSignal,
    { dryRun = false }: EvictWanted = {},
  ): Promise<EvictReport> {
    const { reference } = image;
    const record = await this.#options.records.open(image.name);
    const root = record.named(reference);
    if (root === undefined) throw notHeld('MANIFEST_UNKNOWN', formatImage(image));
    const tags = isDigest(reference) ? tagsOf(record, root.digest) : [reference];
    for (const name of [reference, ...tags]) {
      if (record.pins.has(name)) throw pinned(formatImage({ name: image.name, reference: name }));
    }
    const tree = await this.#tree(root);
    const others = await this.#otherManifests(record, tree, new Set(tags), root);
    const forgotten = [...(tree?.manifests ?? [])].filter(([digest]) => !others.has(digest));
    const manifests = forgotten.map(([digest]) => digest);
    if (!dryRun) {
      for (const tag of tags) record.removeTag(tag);
      for (const digest of manifests) record.removeManifest(digest);
    }
    const blobs = new Set(forgotten.flatMap(([, { parsed }]) => blobsOf(parsed).map(blob => blob.digest)));
    const isForgotten = (name: string, digest: Digest) =>
      dryRun && name === record.name && manifests.includes(digest);
    const unneeded = await this.#unneeded(new Set(manifests), blobs, isForgotten, signal);
    const kept = manifests.length + blobs.size - unneeded.manifests.size - unneeded.blobs.size;
    const removed = await this.#remove(unneeded, signal, dryRun);
    if (!dryRun) await requireWritten(record);
    const held = (tree?.manifests.size ?? 0) - manifests.length;
    return { image: formatImage(image), tags, ...removed, kept: removed.kept + kept + held };
  }

  /** Manifests of the image that the repository still needs: for other tags, pins, and other manifests that were pulled. */
  async #otherManifests(
    record: RepositoryRecord,
    tree: ImageTree | undefined,
    removedTags: ReadonlySet<Tag>,
    root: TypedDigest,
  ): Promise<ReadonlySet<Digest>> {
    const roots: TypedDigest[] = [...record.manifests()].filter(
      ({ digest }) => tree?.manifests.has(digest) !== true && digest !== root.digest,
    );
    for (const [tag, { descriptor }] of record.tags()) if (!removedTags.has(tag)) roots.push(descriptor);
    for (const reference of record.pins) {
      const named = record.named(reference);
      if (named !== undefined) roots.push(named);
    }
    const others = new Set<Digest>();
    for (const other of roots) {
      if (others.has(other.digest)) continue; // and so is all below it
      for (const digest of (await this.#tree(other))?.manifests.keys() ?? []) others.add(digest);
    }
    return others;
  }

  /** Without those that a manifest of any repository names, except the manifests that go. */
  async #unneeded(
    manifests: Set<Digest>,
    blobs: Set<Digest>,
    isForgotten: (name: string, digest: Digest) => boolean,
    signal: AbortSignal,
  ): Promise<{ readonly manifests: ReadonlySet<Digest>; readonly blobs: ReadonlySet<Digest> }> {
    const { records, store } = this.#options;
    const left = { manifests: new Set(manifests), blobs: new Set(blobs) };
    for (const name of await records.allNames()) {
      if (left.manifests.size + left.blobs.size === 0) break;
      for (const manifest of (await records.look(name)).manifests()) {
        signal.throwIfAborted();
        if (isForgotten(name, manifest.digest)) continue;
        left.manifests.delete(manifest.digest);
        left.blobs.delete(manifest.digest);
        const parsed = (await readManifest(store, manifest))?.parsed;
        if (parsed === undefined) continue;
        for (const { digest } of blobsOf(parsed)) left.blobs.delete(digest);
        for (const { digest } of parsed.manifests) left.manifests.delete(digest);
      }
    }
    return left;
  }

  async #remove(
    candidates: { readonly manifests: Iterable<Digest>; readonly blobs: Iterable<Digest> },
    signal: AbortSignal,
    dryRun: boolean,
  ): Promise<Removed> {
    const { store, pins, isActive, isHosted, blobRemoved, manifestRemoved } = this.#options;
    const sum = { freedBytes: 0, manifests: 0, blobs: 0, kept: 0 };
    for (const kind of ['blobs', 'manifests'] as const) {
      for (const digest of candidates[kind]) {
        signal.throwIfAborted();
        if ((await pins.isPinned(digest)) || isActive(digest) || isHosted(digest)) {
          sum.kept += 1;
          continue;
        }
        const bytes = dryRun ? ((await store.sizeOf(digest)) ?? 0) : await store.remove(digest);
        if (dryRun) {
          // nothing has to forget it
        } else if (kind === 'blobs') blobRemoved(digest, bytes);
        else manifestRemoved(digest, bytes);
        if (bytes > 0) sum[kind] += 1;
        sum.freedBytes += bytes;
      }
    }
    return sum;
  }

  #tree(root: TypedDigest): Promise<ImageTree | undefined> {
    return readImageTree(manifest => readManifest(this.#options.store, manifest), root);
  }
}

function tagsOf(record: RepositoryRecord, digest: Digest): Tag[] {
  return [...record.tags()].flatMap(([tag, entry]) => (entry.descriptor.digest === digest ? [tag] : []));
}

function pinned(what: string): RegistryError {
  return new RegistryError('DENIED', { message: `${what} is pinned: unpin it first` });
}

export function notHeld(code: 'MANIFEST_UNKNOWN' | 'BLOB_UNKNOWN', what: string): RegistryError {
  return new RegistryError(code, { message: `${what} is not held` });
}

/** A command answers after its changes are in the file of the record. Errors: UNAVAILABLE. */
export async function requireWritten(record: RepositoryRecord): Promise<void> {
  try {
    await record.requireWritten();
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    const message = `the record of ${record.name} could not be written: ${error.message}`;
    throw new RegistryError('UNAVAILABLE', { message, cause: error });
  }
}
