/**
 * Held manifests: hot ones in memory, parsed once, the others in the store, verified when they are read. Serving one marks
 * its config and layers as used, so that a base layer of many images doesn't look cold.
 */
import { LRUCache } from 'lru-cache';
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import { isBlobChild } from '../oci/image-needs.ts';
import {
  type Descriptor,
  maxManifestBytes,
  type ParsedManifest,
  parseManifest,
  parseOrKeep,
} from '../oci/manifest.ts';
import { isManifestType, octetStream } from '../oci/media-type.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import type { HeldBlob } from '../store/blobs/held-blob.ts';
import { StoreError } from '../store/store-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { BadBlobs, ContentEvents, ContentKind } from './bad-blobs.ts';

const hotBytes = 32 * 1024 * 1024;
/** What an entry costs beside its bytes: parsed descriptors. */
const entryBytes = 2048;
const maxSizes = 20_000;
/** Learnt from one manifest: more would push out what others have said. A HEAD of any other blob asks the upstream. */
const maxSizesOfOne = 1000;

export interface HeldManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
  readonly parsed: ParsedManifest;
}

export interface HotManifestsOptions {
  readonly store: BlobStore;
  readonly badBlobs: Pick<BadBlobs, 'damaged' | 'unreadable'>;
  readonly events: Pick<ContentEvents, 'touch' | 'manifestStored'>;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** The bytes belong to the digest, the media type and what is read of them to (repository, digest). */
interface HotEntry {
  readonly bytes: Buffer;
  /** By the type that a record knows; the generic one for repositories whose record knows none. */
  readonly byType: Map<string, HeldManifest>;
}

/** Upstreams may give one digest under many types: more than these are read anew. */
const maxTypes = 4;

export class HotManifests {
  readonly #hot = new LRUCache<Digest, HotEntry>({
    maxSize: hotBytes,
    sizeCalculation: ({ bytes }) => bytes.length + entryBytes,
  });
  readonly #options: HotManifestsOptions;
  readonly #touches: ManifestTouches;

  constructor(options: HotManifestsOptions) {
    this.#options = options;
    this.#touches = new ManifestTouches({
      touch: digest => options.events.touch(digest),
      peek: digest => this.#hot.peek(digest)?.byType.values().next().value?.parsed,
      now: () => options.now(),
    });
  }

  /** Only what is in memory: no I/O. `mediaType`: of that repository; undefined: its record knows none. */
  peek(digest: Digest, mediaType: string | undefined): HeldManifest | undefined {
    const hot = this.#hot.get(digest);
    if (hot === undefined) return undefined;
    return hot.byType.get(mediaType ?? octetStream) ?? this.#readIfManifest(digest, mediaType, hot.bytes);
  }

  /** The bytes in memory, under whatever type. */
  peekBytes(digest: Digest): Buffer | undefined {
    return this.#hot.get(digest)?.bytes;
  }

  /** The file is gone or bad: writes it again from memory. False: memory has it not. Errors: `StoreError`. */
  async restore(digest: Digest): Promise<boolean> {
    const bytes = this.#hot.peek(digest)?.bytes;
    if (bytes === undefined) return false;
    if (await this.#options.store.put(digest, bytes))
      this.#options.events.manifestStored(digest, bytes.length);
    return true;
  }

  /** The store has it no longer. */
  forget(digest: Digest): void {
    this.#hot.delete(digest);
  }

  /** Undefined: not held, bad and set aside, or no manifest although no record says that it is one. */
  async get(digest: Digest, mediaType: string | undefined): Promise<HeldManifest | undefined> {
    const hot = this.peek(digest, mediaType);
    if (hot !== undefined) return hot;
    const bytes = await this.#readRight(digest, mediaType === undefined ? 'blob' : 'manifest');
    return bytes && this.#readIfManifest(digest, mediaType, bytes);
  }

  /** Keeps verified bytes. When the store can't take them, they stay in memory alone. */
  async put(descriptor: Descriptor, bytes: Buffer): Promise<HeldManifest> {
    const { digest, mediaType } = descriptor;
    const parsed = parseOrKeep(bytes, mediaType);
    const held = this.#heat(digest, parsed.mediaType, parsed, bytes);
    try {
      if (await this.#options.store.put(descriptor.digest, bytes))
        this.#options.events.manifestStored(descriptor.digest, bytes.length);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#options.logger.warn('the store takes no manifest', { digest: descriptor.digest, error });
    }
    return held;
  }

  /** Into memory alone: the caller has stored them. Errors: MANIFEST_INVALID for schema 1. */
  keep({ digest, mediaType }: Descriptor, bytes: Buffer): HeldManifest {
    const parsed = parseOrKeep(bytes, mediaType);
    return this.#heat(digest, parsed.mediaType, parsed, bytes);
  }

  /** Marks what the manifest names as used; of an index, what its hot children name. Takes no time worth speaking of. */
  touch(held: HeldManifest): void {
    this.#touches.touch(held.parsed);
  }

  /** Without a type from a record, a layer or a config may have been asked for as a manifest: that is none. */
  #readIfManifest(digest: Digest, mediaType: string | undefined, bytes: Buffer): HeldManifest | undefined {
    if (mediaType !== undefined) return this.#heat(digest, mediaType, parseOrKeep(bytes, mediaType), bytes);
    try {
      return this.#heat(digest, octetStream, parseManifest(bytes, octetStream), bytes);
    } catch (error) {
      if (error instanceof RegistryError) return undefined;
      throw error;
    }
  }

  #heat(digest: Digest, askedType: string, parsed: ParsedManifest, read: Buffer): HeldManifest {
    const hot = this.#hot.peek(digest) ?? { bytes: read, byType: new Map<string, HeldManifest>() };
    const { bytes, byType } = hot;
    const held = byType.get(parsed.mediaType) ?? {
      descriptor: { digest, mediaType: parsed.mediaType, size: bytes.length },
      bytes,
      parsed,
    };
    const [oldest] = byType.size >= maxTypes ? byType.keys() : [];
    if (oldest !== undefined) byType.delete(oldest);
    byType.set(askedType, held);
    this.#hot.set(digest, hot);
    return held;
  }

  /** Verified bytes. A bad file is set aside, so that the next `put` writes it again. */
  async #readRight(digest: Digest, kind: ContentKind): Promise<Buffer | undefined> {
    const { store, badBlobs } = this.#options;
    let blob: HeldBlob | undefined;
    try {
      blob = await store.open(digest);
      if (blob === undefined || blob.size > maxManifestBytes) return undefined;
      const bytes = Buffer.alloc(blob.size);
      await blob.read(bytes, 0);
      const found = digestOf(bytes, algorithmOf(digest));
      if (found === digest) return bytes;
      const detail = `its ${bytes.length} bytes have the digest ${found}`;
      await badBlobs.damaged(digest, blob.fileId, kind, detail);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      await badBlobs.unreadable(digest, blob?.fileId, kind, error);
    } finally {
      await blob?.close();
    }
    return undefined;
  }
}

/** Up to so many are marked at once and each time; real images name fewer. */
const touchSlice = 128;
const touchEveryMs = 30_000;

export interface ManifestTouchesOptions {
  touch(digest: Digest): void;
  /** A child that is in memory. */
  peek(digest: Digest): ParsedManifest | undefined;
  /** Milliseconds since the epoch. */
  now(): number;
}

/**
 * Marks what served manifests name as used, so that a base layer of many images doesn't look cold. A manifest that names many
 * blobs is marked at most every 30 s and in slices, so that serving it costs others nothing.
 */
export class ManifestTouches {
  readonly #options: ManifestTouchesOptions;
  readonly #touchedAt = new WeakMap<ParsedManifest, number>();
  readonly #waiting: Iterator<Digest>[] = [];

  constructor(options: ManifestTouchesOptions) {
    this.#options = options;
  }

  /** The config and the layers; of an index, the blobs that it lists, and those of its image children that are in memory. Synchronous for small ones. */
  touch(manifest: ParsedManifest): void {
    if (!this.#isDue(manifest)) return;
    const digests = this.#digestsOf(manifest);
    if (this.#touchSome(digests)) return;
    this.#waiting.push(digests);
    if (this.#waiting.length === 1) setImmediate(() => this.#goOn());
  }

  #goOn(): void {
    const [digests] = this.#waiting;
    if (digests === undefined) return;
    if (this.#touchSome(digests)) this.#waiting.shift();
    if (this.#waiting.length > 0) setImmediate(() => this.#goOn());
  }

  /** One slice. True: none is left. */
  #touchSome(digests: Iterator<Digest>): boolean {
    for (let count = 0; count < touchSlice; count += 1) {
      const { done, value } = digests.next();
      if (done === true) return true;
      this.#options.touch(value);
    }
    return false;
  }

  #isDue(manifest: ParsedManifest): boolean {
    if (manifest.layers.length + manifest.manifests.length < touchSlice) return true;
    const nowMs = this.#options.now();
    const ageMs = nowMs - (this.#touchedAt.get(manifest) ?? -Infinity);
    if (ageMs >= 0 && ageMs < touchEveryMs) return false;
    this.#touchedAt.set(manifest, nowMs);
    return true;
  }

  *#digestsOf({ config, layers, manifests }: ParsedManifest): Generator<Digest, void, void> {
    if (config !== undefined) yield config.digest;
    for (const { digest } of layers) yield digest;
    const seen = new Set<Digest>();
    for (const named of manifests) {
      const { digest } = named;
      if (seen.has(digest)) continue;
      seen.add(digest);
      if (isBlobChild(named)) yield digest;
      const child = this.#options.peek(digest);
      if (child === undefined || child.kind !== 'image' || !this.#isDue(child)) continue;
      yield* this.#digestsOf(child);
    }
  }
}

/**
 * The sizes that a repository's manifests give for their blobs. They answer a HEAD, and expose a source whose blob has
 * another length. Kept per repository: what one repository's manifest says is hidden from those who only see another.
 */
export class DescriptorSizes {
  readonly #sizes = new LRUCache<string, number>({ max: maxSizes });
  /** The repository that a manifest was learnt for last, and after how many sizes. */
  readonly #learnt = new WeakMap<ParsedManifest, { readonly recordName: string; readonly at: number }>();
  #count = 0;

  /** Manifests that a repository's indexes name. */
  readonly #children = new LRUCache<string, true>({ max: maxSizes });

  /** Cheap for a manifest whose sizes can't have been pushed out since. */
  learn(recordName: string, manifest: ParsedManifest): void {
    const last = this.#learnt.get(manifest);
    if (last?.recordName === recordName && this.#count - last.at < maxSizes / 2) return;
    const { config, manifests } = manifest;
    for (const { digest, mediaType } of manifests)
      if (isManifestType(mediaType)) this.#children.set(`${recordName}@${digest}`, true);
    const layers = manifest.layers.slice(0, maxSizesOfOne);
    for (const { digest, size } of config === undefined ? layers : [...layers, config]) {
      this.#sizes.set(`${recordName}@${digest}`, size);
      this.#count += 1;
    }
    this.#learnt.set(manifest, { recordName, at: this.#count });
  }

  /** Bytes; undefined: no manifest of that repository has said so lately. */
  get(recordName: string, digest: Digest): number | undefined {
    return this.#sizes.peek(`${recordName}@${digest}`);
  }

  /** An index of that repository names it as a manifest. */
  isChild(recordName: string, digest: Digest): boolean {
    return this.#children.peek(`${recordName}@${digest}`) !== undefined;
  }
}
