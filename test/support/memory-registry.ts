/**
 * A registry in memory, for tests of what serves one: content by name, readers that a test can hold, slow down and
 * break, and notes of what was asked. Implements the contract and nothing more.
 */

import { type Digest, digestOf, isDigest } from '../../src/oci/digest.ts';
import { RegistryError } from '../../src/oci/error.ts';
import type { Descriptor } from '../../src/oci/manifest.ts';
import type { Reference, Repository } from '../../src/oci/name.ts';
import { type ByteRange, resolveRange } from '../../src/oci/range.ts';
import type {
  Answer,
  BlobAnswer,
  BlobReader,
  ManifestAnswer,
  PageOptions,
  ReadOptions,
  ReferrersAnswer,
  RegistryReader,
  ResolveAnswer,
  StatAnswer,
  TagsPage,
} from '../../src/registry/registry.ts';

export interface Asked {
  readonly method: string;
  readonly repository: Repository;
  readonly options: ReadOptions;
  readonly rest: readonly unknown[];
}

export class MemoryRegistry implements RegistryReader {
  readonly asked: Asked[] = [];
  readonly readers: MemoryReader[] = [];
  readonly #blobs = new Map<Digest, Buffer>();
  readonly #manifests = new Map<string, { descriptor: Descriptor; bytes: Buffer }>();
  /** Merged into every answer. */
  answer: Answer = { outcome: 'hit' };
  /** Its manifests can be had at once; that isn't noted in `asked`. */
  isHot = false;
  /** Merged into every blob answer: hides sizes, sets ranges aside … */
  blobAnswer: Partial<BlobAnswer> = {};
  /** Merged into every stat answer. */
  statAnswer: Partial<StatAnswer> = {};
  tagsPage: Partial<TagsPage> = {};
  referrersAnswer: Partial<ReferrersAnswer> = {};
  /** Runs before each answer: may throw or wait. */
  before: (asked: Asked) => Promise<void> | void = () => {};
  /** Runs before each read of a blob: may throw or wait. */
  beforeRead: (at: number, reader: MemoryReader) => Promise<void> | void = () => {};
  preferredBytes = 256 * 1024;

  addBlob(bytes: Buffer, digest = digestOf(bytes)): Digest {
    this.#blobs.set(digest, bytes);
    return digest;
  }

  removeBlob(digest: Digest): boolean {
    return this.#blobs.delete(digest);
  }

  blobBytes(digest: Digest): Buffer | undefined {
    return this.#blobs.get(digest);
  }

  addManifest(bytes: Buffer, mediaType: string, tag?: string, digest = digestOf(bytes)): Digest {
    const descriptor = { mediaType, digest, size: bytes.length };
    this.#manifests.set(descriptor.digest, { descriptor, bytes });
    if (tag !== undefined) this.#manifests.set(tag, { descriptor, bytes });
    return descriptor.digest;
  }

  /** By tag: that tag alone. By digest: its tags too. False: there was none. */
  removeManifest(reference: Reference): boolean {
    const isThere = this.#manifests.has(reference);
    for (const [key, { descriptor }] of this.#manifests) {
      if (key === reference || descriptor.digest === reference) this.#manifests.delete(key);
    }
    return isThere;
  }

  manifestSize(reference: Reference): number | undefined {
    return this.#manifests.get(reference)?.descriptor.size;
  }

  /** One entry for each digest. */
  manifests(): { descriptor: Descriptor; bytes: Buffer }[] {
    return [...this.#manifests].flatMap(([key, manifest]) => (isDigest(key) ? [manifest] : []));
  }

  async resolve(repository: Repository, reference: Reference, options: ReadOptions): Promise<ResolveAnswer> {
    await this.#note('resolve', repository, options, reference);
    return { ...this.answer, descriptor: this.#find(reference).descriptor };
  }

  async manifest(
    repository: Repository,
    reference: Reference,
    options: ReadOptions,
  ): Promise<ManifestAnswer> {
    await this.#note('manifest', repository, options, reference);
    return { ...this.answer, ...this.#find(reference) };
  }

  manifestAtOnce(_repository: Repository, reference: Reference): ManifestAnswer | undefined {
    const found = this.isHot ? this.#manifests.get(reference) : undefined;
    return found && { ...this.answer, ...found };
  }

  async stat(repository: Repository, digest: Digest, options: ReadOptions): Promise<StatAnswer> {
    await this.#note('stat', repository, options, digest);
    return { ...this.answer, size: this.#blob(digest).length, ...this.statAnswer };
  }

  async blob(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    options: ReadOptions,
  ): Promise<BlobAnswer> {
    await this.#note('blob', repository, options, digest, range);
    const bytes = this.#blob(digest);
    const size = bytes.length;
    const span = range === undefined ? { start: 0, end: size } : resolveRange(range, size);
    if (span === undefined) throw new RegistryError('RANGE_INVALID', { detail: { size } });
    const reader = new MemoryReader(bytes, this.preferredBytes, (at, one) => this.beforeRead(at, one));
    this.readers.push(reader);
    return { ...this.answer, size, ...span, partial: range !== undefined, reader, ...this.blobAnswer };
  }

  async tags(repository: Repository, options: PageOptions): Promise<TagsPage> {
    const { n, last, query } = options;
    await this.#note('tags', repository, options, n, last, ...(query === undefined ? [] : [query]));
    const tags = [...this.#manifests.keys()].filter(key => !isDigest(key)).sort();
    return { ...this.answer, tags, ...this.tagsPage };
  }

  async referrers(
    repository: Repository,
    digest: Digest,
    artifactType: string | undefined,
    options: ReadOptions & { readonly query?: string },
  ): Promise<ReferrersAnswer> {
    await this.#note('referrers', repository, options, digest, artifactType, options.query);
    const bytes = Buffer.from('{"schemaVersion":2,"manifests":[]}');
    return { ...this.answer, bytes, filtered: false, ...this.referrersAnswer };
  }

  async #note(
    method: string,
    repository: Repository,
    options: ReadOptions,
    ...rest: readonly unknown[]
  ): Promise<void> {
    const asked = { method, repository, options, rest };
    this.asked.push(asked);
    await this.before(asked);
  }

  #find(reference: Reference): { descriptor: Descriptor; bytes: Buffer } {
    const found = this.#manifests.get(reference);
    if (found === undefined) throw new RegistryError('MANIFEST_UNKNOWN');
    return found;
  }

  #blob(digest: Digest): Buffer {
    const found = this.#blobs.get(digest);
    if (found === undefined) throw new RegistryError('BLOB_UNKNOWN');
    return found;
  }
}

export class MemoryReader implements BlobReader {
  readonly preferredBytes: number;
  readonly #bytes: Buffer;
  readonly #beforeRead: (at: number, reader: MemoryReader) => Promise<void> | void;
  /** The memory that reads were given: one entry for each distinct buffer. */
  readonly memory = new Set<ArrayBufferLike>();
  reads = 0;
  /** Where the last read ended. */
  at = 0;
  readonly closed: Promise<void>;
  #reject: (error: Error) => void = () => {};
  #markClosed: () => void = () => {};

  constructor(
    bytes: Buffer,
    preferredBytes: number,
    beforeRead: (at: number, reader: MemoryReader) => Promise<void> | void,
  ) {
    this.#bytes = bytes;
    this.preferredBytes = preferredBytes;
    this.#beforeRead = beforeRead;
    this.closed = new Promise(resolve => {
      this.#markClosed = resolve;
    });
  }

  async read(into: Buffer, at: number): Promise<number> {
    this.reads += 1;
    this.memory.add(into.buffer);
    const closing = new Promise<never>((_, reject) => {
      this.#reject = reject;
    });
    closing.catch(() => {}); // it may close without a reader that waits
    await Promise.race([this.#beforeRead(at, this), closing]);
    const count = this.#bytes.copy(into, 0, at);
    this.at = at + count;
    return count;
  }

  async close(): Promise<void> {
    this.#reject(new Error('closed while reading'));
    this.#markClosed();
  }
}
