/**
 * Held blobs, opened and read verified. A file is opened only when its length is the one in the LRU index, is compared with its
 * digest when that is due, and is set aside when it is bad. A manifest is not given as a blob.
 */
import { LRUCache } from 'lru-cache';
import { ExpiringMap } from '../lib/expiring-map.ts';
import type { Digest } from '../oci/digest.ts';
import { looksLikeManifest, maxManifestBytes } from '../oci/manifest.ts';
import type { BlobReader } from '../registry/registry.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import type { HeldBlob } from '../store/blobs/held-blob.ts';
import type { Quarantine } from '../store/blobs/quarantine.ts';
import type { RepositoryRecord } from '../store/records/repository-record.ts';
import { ifReadable, MismatchError, StoreError } from '../store/store-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Observer } from '../telemetry/observer.ts';
import { BadBlobs, type ContentEvents, RecentMismatches } from './bad-blobs.ts';
import { type BlobCheck, BlobChecks } from './blob-checks.ts';
import type { DescriptorSizes } from './hot-manifests.ts';

const repeatWithinMs = 60_000;
const maxRequests = 20_000;

export interface HeldFilesOptions {
  readonly store: BlobStore;
  readonly quarantine: Pick<Quarantine, 'take'>;
  /** As `BadBlobsOptions.isHosted`. */
  readonly isHosted?: (digest: Digest) => boolean;
  readonly events: Pick<ContentEvents, 'verified' | 'removed'>;
  /** How long a verified file needs no check; 0: no age is too old. */
  readonly verifyAfterMs: number;
  readonly observer: Pick<Observer, 'storeError'>;
  readonly logger: Logger;
  /** Ends the running checks. */
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch. */
  now(): number;
  /** The size in the LRU index, or of hosted content, in bytes. */
  readonly indexedSize: (digest: Digest) => number | undefined;
}

export class HeldFiles {
  readonly mismatches: RecentMismatches;
  readonly bad: BadBlobs;
  readonly checks: BlobChecks;
  readonly #store: BlobStore;
  readonly #indexedSize: HeldFilesOptions['indexedSize'];
  readonly #requests: ExpiringMap<string, true>;

  constructor(options: HeldFilesOptions) {
    const { store, quarantine, isHosted, events, verifyAfterMs, observer, logger, signal, now } = options;
    this.#store = store;
    this.#indexedSize = options.indexedSize;
    this.mismatches = new RecentMismatches(now);
    this.bad = new BadBlobs({
      quarantine,
      ...(isHosted && { isHosted }),
      mismatches: this.mismatches,
      events,
      observer,
      logger,
    });
    this.checks = new BlobChecks({ verifyAfterMs, badBlobs: this.bad, events, signal, now });
    const ttlMs = repeatWithinMs + 1; // a request after exactly a minute is a repeat
    this.#requests = new ExpiringMap({ maxEntries: maxRequests, ttlMs, now });
  }

  async isHeld(digest: Digest): Promise<boolean> {
    return (await this.#size(digest)) !== undefined;
  }

  /** Bytes; undefined: not held. Looks at the length, not at the bytes. */
  async sizeOf(digest: Digest): Promise<number | undefined> {
    const size = await this.#size(digest);
    if (size === undefined || size === (this.#indexedSize(digest) ?? size)) return size;
    const held = await this.open(digest); // sets a bad file aside
    await held?.close();
    return held?.size;
  }

  /** The caller closes it. Undefined: not held, or bad and set aside. */
  async open(digest: Digest): Promise<HeldBlob | undefined> {
    const held = await this.#open(digest);
    if (held === undefined) return undefined;
    const expected = this.#indexedSize(digest) ?? held.size;
    const isRight = held.isFile && held.size === expected;
    if (isRight && !this.bad.isStuck(digest, held.fileId)) return held;
    await held.close();
    if (isRight) return undefined;
    const found = held.isFile ? `has ${held.size} bytes instead of ${expected}` : 'is no regular file';
    await this.bad.damaged(digest, held.fileId, 'blob', `it ${found}`);
    return undefined;
  }

  /**
   * Notes that the client asks for the whole blob; true when the same client did so within a minute. Docker does that
   * after a wrong digest, so the blob is worth a check.
   */
  noteRequest(client: string, digest: Digest): boolean {
    const key = `${client} ${digest}`;
    const isRepeated = this.#requests.has(key);
    this.#requests.set(key, true);
    return isRepeated;
  }

  async #open(digest: Digest): Promise<HeldBlob | undefined> {
    try {
      return await this.#store.open(digest);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      await this.bad.unreadable(digest, undefined, 'blob', error);
      return undefined;
    }
  }

  async #size(digest: Digest): Promise<number | undefined> {
    if (!this.bad.isStuck(digest)) return ifReadable(this.#store.sizeOf(digest));
    // It may only have been a moment without descriptors. To open it tells, and clears that.
    const held = await this.open(digest);
    await held?.close();
    return held?.size;
  }
}

type Readable = Pick<HeldBlob, 'size' | 'preferredBytes' | 'read' | 'close'>;

export interface HeldReaderOptions {
  readonly digest: Digest;
  readonly held: Readable;
  readonly check: BlobCheck | undefined;
  /** The file can't be read. Never throws. */
  unreadable(error: StoreError): Promise<void>;
  /** Another reader of the same bytes. */
  replace(): Promise<BlobReader>;
}

/**
 * Reads a held file for one client. While its check runs, the last byte is held back. A file that proves bad or unreadable
 * before the first byte is out is replaced by another reader of the same bytes; later, the body ends short of its length.
 */
export class HeldReader implements BlobReader {
  readonly preferredBytes: number;
  readonly #options: HeldReaderOptions;
  readonly #held: Readable;
  readonly #check: BlobCheck | undefined;
  #replacement: BlobReader | undefined;
  #delivered = false;
  #closed = false;

  constructor(options: HeldReaderOptions) {
    this.#options = options;
    this.#held = options.held;
    this.#check = options.check;
    this.preferredBytes = options.held.preferredBytes;
  }

  async read(into: Buffer, at: number): Promise<number> {
    if (this.#replacement !== undefined) return this.#replacement.read(into, at);
    try {
      const count =
        this.#check === undefined
          ? await this.#held.read(into, at)
          : await this.#readChecked(this.#check, into, at);
      this.#delivered = true;
      return count;
    } catch (error) {
      if (this.#closed) throw error;
      if (error instanceof StoreError) await this.#options.unreadable(error);
      else if (!(error instanceof MismatchError)) throw error;
      if (this.#delivered) throw error; // the bytes that are out can't be compared with another reader's
    }
    this.#replacement = await this.#replace();
    return this.#replacement.read(into, at);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#held.close();
    await this.#replacement?.close();
  }

  async #readChecked(check: BlobCheck, into: Buffer, at: number): Promise<number> {
    const { size } = this.#held;
    if (check.known === undefined && at < size - 1) {
      const count = await this.#held.read(into.subarray(0, size - 1 - at), at);
      if (check.known === undefined || check.known === 'good') return count;
    } else if ((check.known ?? (await check.result)) === 'good') {
      return this.#held.read(into, at);
    }
    throw new MismatchError(this.#options.digest);
  }

  async #replace(): Promise<BlobReader> {
    const reader = await this.#options.replace();
    if (!this.#closed) return reader;
    await reader.close();
    throw new Error('the reader was closed');
  }
}

/** What is asked of a held file or of one that is being filled. */
export interface GuardedBytes {
  readonly size: number;
  read(into: Buffer, at: number): Promise<number>;
}

const maxKnown = 50_000;

/**
 * Keeps manifests out of `/blobs/`: containerd asks there when `/manifests/` refuses, and keeps the wrong type for good. A
 * digest is a manifest when this repository knows it as one, or when its bytes say so. The bytes are looked at once.
 */
export class ManifestGuard {
  readonly #sizes: DescriptorSizes;
  /** By what the bytes say; of small content only. */
  readonly #isManifest = new LRUCache<Digest, boolean>({ max: maxKnown });

  constructor(sizes: DescriptorSizes) {
    this.#sizes = sizes;
  }

  /** This repository has it as a manifest, or one of its indexes names it as one. Looks at no bytes. */
  isNamed(record: RepositoryRecord, digest: Digest): boolean {
    if (record.manifest(digest) !== undefined) return true;
    return this.#sizes.get(record.name, digest) === undefined && this.#sizes.isChild(record.name, digest);
  }

  /** What the bytes say; undefined: they must be looked at with `look`. */
  known(record: RepositoryRecord, digest: Digest, size: number): boolean | undefined {
    if (size > maxManifestBytes) return false;
    const known = this.#isManifest.get(digest);
    return known === true ? !this.#isLayer(record, digest) : known;
  }

  /** `bytes` are verified. Errors: those of `read`. */
  async look(record: RepositoryRecord, digest: Digest, bytes: GuardedBytes): Promise<boolean> {
    const known = this.known(record, digest, bytes.size);
    if (known !== undefined) return known;
    this.#isManifest.set(digest, await saysManifest(bytes));
    return this.#isManifest.get(digest) === true && !this.#isLayer(record, digest);
  }

  /** A manifest of this repository names it as its config or layer: an artifact may contain manifests. */
  #isLayer(record: RepositoryRecord, digest: Digest): boolean {
    return this.#sizes.get(record.name, digest) !== undefined;
  }
}

/** Most blobs are told by their first bytes, so only the others are read whole. */
async function saysManifest({ size, read }: GuardedBytes): Promise<boolean> {
  const bytes = Buffer.alloc(size);
  const first = Math.min(size, 64);
  for (let at = 0; at < size; ) {
    const count = await read(at < first ? bytes.subarray(at, first) : bytes.subarray(at), at);
    if (count === 0) return false;
    at += count;
    if (at === first && !/^\s*(?:\{|$)/.test(bytes.subarray(0, first).toString('latin1'))) return false;
  }
  return looksLikeManifest(bytes);
}
