/**
 * PUT of a manifest: checks in the order of docs/registry.md, "Manifests"; then the bytes, then manifest, links, tags and
 * subject as one line of the log. Holds keep what it names in the store until the line is written.
 */
import type { BlobHolds } from '../content/blob-holds.ts';
import type { HeldFiles } from '../content/held-files.ts';
import type { HotManifests } from '../content/hot-manifests.ts';
import type { Digest } from '../oci/digest.ts';
import { isDigest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import type { Reference, Repository, Tag } from '../oci/name.ts';
import type { PutAnswer, PutManifest, WriteOptions } from '../registry/writer.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import { StoreError } from '../store/store-error.ts';
import { commitDecided } from './commit.ts';
import type { ImmutableTags } from './immutable-tags.ts';
import type { Cause, DecidedBy, HostedChange, HostedLog, HostedRepository } from './log/hosted-log.ts';
import { type PushedManifest, readPushedManifest, toManifestChange } from './pushed-manifest.ts';

export interface ManifestPutsOptions {
  readonly log: HostedLog;
  readonly store: Pick<BlobStore, 'put'>;
  readonly files: Pick<HeldFiles, 'sizeOf'>;
  readonly manifests: Pick<HotManifests, 'keep'>;
  readonly holds: BlobHolds;
  readonly immutable: ImmutableTags;
  readonly quotas: Quotas;
  /** Of a blob that is held and public on the mirror's side, in bytes: it may be linked instead of uploaded. */
  publicSize(digest: Digest): Promise<number | undefined>;
  /** The bytes are in the store, and the link that they were written for did not come. */
  orphaned(digest: Digest, bytes: number): void;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** `hosted.quotas` and `hosted.max_size`. */
export interface Quotas {
  /**
   * Books what a push adds, before it is on the disk, so that two pushes can't both fit. The caller calls what it gets, once,
   * when the line is written or given up. Errors: DENIED (403) with limit, used and wanted.
   */
  book(name: Repository, added: QuotaDemand): Promise<() => void>;
}

export interface QuotaDemand {
  /** What the repository doesn't link yet: digest to bytes. */
  readonly links: ReadonlyMap<Digest, number>;
  /** Those that the repository doesn't have yet. */
  readonly tags: readonly Tag[];
}

/** Blobs of a manifest are looked at side by side. */
const looksAtOnce = 8;
/** So many missing blobs are named in an answer. */
const maxNamed = 1000;

interface Put {
  readonly name: Repository;
  readonly pushed: PushedManifest;
  readonly tags: readonly Tag[];
  readonly cause: Cause;
  /** Of the blobs that it needs: bytes of the file; undefined: there is none. */
  readonly held: ReadonlyMap<Digest, number | undefined>;
}

export class ManifestPuts {
  readonly #options: ManifestPutsOptions;

  constructor(options: ManifestPutsOptions) {
    this.#options = options;
  }

  /** Errors: see `RegistryWriter.putManifest`. */
  async put(
    name: Repository,
    reference: Reference,
    { bytes, mediaType, tags: further }: PutManifest,
    { caller, signal }: WriteOptions,
  ): Promise<PutAnswer> {
    const pushed = readPushedManifest(bytes, mediaType, reference);
    const tags = [...new Set(isDigest(reference) ? further : [reference, ...further])];
    const { descriptor, subject, needed } = pushed;
    const { user } = caller;
    const cause: Cause = { at: this.#options.now(), ...(user !== undefined && { user }), how: 'push' };
    const releases: (() => void)[] = [];
    let moved: PutAnswer['moved'] = [];
    let isLinked = false;
    try {
      for (const digest of [descriptor.digest, ...pushed.names])
        releases.push(await this.#options.holds.hold(digest));
      const put: Put = { name, pushed, tags, cause, held: await this.#look(needed) };
      moved = await this.#commit(put, bytes, signal);
      isLinked = true;
    } finally {
      for (const release of releases) release();
      if (!isLinked) this.#options.orphaned(descriptor.digest, bytes.length);
    }
    this.#options.manifests.keep(descriptor, bytes);
    return { descriptor, tags, moved, ...(subject && { subject: subject.digest }) };
  }

  async #commit(put: Put, bytes: Buffer, signal: AbortSignal): Promise<PutAnswer['moved']> {
    let moved: PutAnswer['moved'] = [];
    let release: (() => void) | undefined;
    const decide = async (repository: HostedRepository | undefined): Promise<readonly HostedChange[]> => {
      release?.();
      release = undefined;
      const adopted = await this.#requireContent(repository, put);
      for (const tag of put.tags)
        this.#options.immutable.requireMovable(repository, tag, put.pushed.descriptor.digest);
      moved = movesOf(repository, put);
      release = await this.#book(repository, put, adopted);
      await this.#store(put.pushed.descriptor.digest, bytes);
      return changesOf(put, adopted);
    };
    try {
      await commitDecided(this.#options.log, put.name, decide, signal, decidedBy(put));
      return moved;
    } finally {
      release?.();
    }
  }

  async #look(digests: readonly Digest[]): Promise<ReadonlyMap<Digest, number | undefined>> {
    const sizes = new Map<Digest, number | undefined>();
    for (let at = 0; at < digests.length; at += looksAtOnce) {
      const some = digests.slice(at, at + looksAtOnce);
      const found = await Promise.all(some.map(digest => this.#options.files.sizeOf(digest)));
      for (const [index, digest] of some.entries()) sizes.set(digest, found[index]);
    }
    return sizes;
  }

  /** Resolves with the blobs to adopt and their sizes. Errors: MANIFEST_INVALID, MANIFEST_BLOB_UNKNOWN. */
  async #requireContent(
    repository: HostedRepository | undefined,
    { name, pushed, held }: Put,
  ): Promise<ReadonlyMap<Digest, number>> {
    const here = new Map<Digest, number>();
    const adopted = new Map<Digest, number>();
    for (const digest of pushed.names) {
      const linked = repository?.link(digest)?.size;
      if (linked !== undefined) here.set(digest, linked);
    }
    for (const digest of pushed.needed) {
      const file = held.get(digest);
      const linked = here.get(digest);
      if (linked !== undefined && linked === file) continue;
      here.delete(digest); // its file is bad or gone: the client has to push it again
      const size = file === undefined ? undefined : await this.#options.publicSize(digest);
      if (size !== undefined) adopted.set(digest, size);
    }
    for (const { digest, size } of pushed.subject ? [...pushed.named, pushed.subject] : pushed.named) {
      const real = here.get(digest) ?? adopted.get(digest) ?? repository?.manifest(digest)?.descriptor.size;
      if (real === undefined || real === size) continue;
      throw new RegistryError('MANIFEST_INVALID', {
        message: `the manifest says that ${digest} has ${size} bytes, and it has ${real}`,
      });
    }
    const missing = pushed.needed.filter(digest => !here.has(digest) && !adopted.has(digest));
    if (missing.length === 0) return adopted;
    throw new RegistryError('MANIFEST_BLOB_UNKNOWN', {
      status: 400,
      message: `${name} lacks ${missing.length} of the ${pushed.needed.length} blobs that the manifest names, push them first: ${missing.slice(0, 3).join(', ')}`,
      detail: { digests: missing.slice(0, maxNamed) },
    });
  }

  async #book(
    repository: HostedRepository | undefined,
    { name, pushed, tags }: Put,
    adopted: ReadonlyMap<Digest, number>,
  ): Promise<() => void> {
    const { digest, size } = pushed.descriptor;
    const links = new Map(adopted);
    if (repository?.link(digest) === undefined) links.set(digest, size);
    const newTags = tags.filter(tag => repository?.tag(tag)?.to === undefined);
    return this.#options.quotas.book(name, { links, tags: newTags });
  }

  /** Errors: UNAVAILABLE. */
  async #store(digest: Digest, bytes: Buffer): Promise<void> {
    try {
      await this.#options.store.put(digest, bytes);
    } catch (cause) {
      if (!(cause instanceof StoreError)) throw cause;
      const why = cause.isFull ? 'the disk is full' : 'the store cannot be written';
      throw new RegistryError('UNAVAILABLE', { message: `the manifest was not stored: ${why}`, cause });
    }
  }
}

/** What others push into the repository meanwhile is no matter. */
function decidedBy({ pushed: { descriptor, names, subject }, tags }: Put): DecidedBy {
  return { tags, digests: [descriptor.digest, ...names, ...(subject ? [subject.digest] : [])] };
}

function movesOf(repository: HostedRepository | undefined, { pushed, tags }: Put): PutAnswer['moved'] {
  return tags.flatMap(tag => {
    const from = repository?.tag(tag)?.to;
    if (from === pushed.descriptor.digest) return [];
    return [{ tag, ...(from !== undefined && { from }) }];
  });
}

function changesOf(
  { pushed, tags, cause }: Put,
  adopted: ReadonlyMap<Digest, number>,
): readonly HostedChange[] {
  const links = Array.from(adopted, ([digest, size]): HostedChange => {
    return { type: 'link', digest, size, ...cause, how: 'adopt' };
  });
  return [...links, toManifestChange(pushed, tags, cause)];
}
