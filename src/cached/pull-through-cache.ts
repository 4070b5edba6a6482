/**
 * The cache of a mirror: what all its upstreams share (held content, downloads, links, memories), and a `RegistryReader` for
 * each of them. It owns the running downloads and ends them.
 */
import { setMaxListeners } from 'node:events';
import type { Room } from '../capacity/room.ts';
import type { ContentEvents } from '../content/bad-blobs.ts';
import { HeldFiles, ManifestGuard } from '../content/held-files.ts';
import { DescriptorSizes, HotManifests } from '../content/hot-manifests.ts';
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import { allowRepositories, type Repository } from '../oci/name.ts';
import { mapOrigin, type Origin } from '../registry/origin.ts';
import type { PeerContent } from '../registry/peer.ts';
import type { RegistryReader, RepositoryCatalog } from '../registry/registry.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import type { Quarantine } from '../store/blobs/quarantine.ts';
import { Ingest } from '../store/ingest/ingest.ts';
import { WindowBudget } from '../store/ingest/window.ts';
import type { StoreLayout } from '../store/layout.ts';
import type { Records } from '../store/records/records.ts';
import type { RepositoryRecord } from '../store/records/repository-record.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Observer } from '../telemetry/observer.ts';
import { AnonymousQuestions } from './access/anonymous-questions.ts';
import type { Links } from './access/links.ts';
import { RepositoryAccess } from './access/repository-access.ts';
import { ServedRepositories } from './access/served-repositories.ts';
import { isKnownPublic, KnownVisibility, VisibilityCheck } from './access/visibility.ts';
import { CachedBlob } from './blobs/cached-blob.ts';
import { HeldSizes } from './blobs/held-sizes.ts';
import { Passthrough } from './blobs/passthrough.ts';
import { CachedPeerContent } from './blobs/peer-content.ts';
import { CachedRegistry, ManifestFromMemory, type UpstreamPolicy } from './cached-registry.ts';
import { Download } from './download/download.ts';
import type { Downloads } from './download/downloads.ts';
import { ForeignContent } from './foreign-content.ts';
import { CachedReferrers, createReferrersMemory } from './lists/cached-referrers.ts';
import { CachedTagList, createTagListMemory } from './lists/cached-tag-list.ts';
import { gatheringLimits } from './lists/paginate.ts';
import { CachedManifest } from './manifests/cached-manifest.ts';
import { CachedTag } from './manifests/cached-tag.ts';
import type { TagPolicy } from './manifests/freshness.ts';

export interface PullThroughCacheOptions {
  readonly layout: StoreLayout;
  readonly store: BlobStore;
  readonly quarantine: Pick<Quarantine, 'take'>;
  /** A hosted repository links it, or may do so. */
  readonly isHosted?: (digest: Digest) => boolean;
  readonly records: Records;
  /** The capacity forgets those of what it evicts. */
  readonly links: Links;
  /** The capacity looks at them too. */
  readonly downloads: Downloads;
  readonly room: Room;
  readonly events: ContentEvents;
  readonly tags: TagPolicy;
  readonly offline: boolean;
  /** How long a verified blob needs no check; 0: no age is too old. */
  readonly verifyAfterMs: number;
  /** Names this boot of the machine: see store/ingest/journal.ts. */
  readonly bootId: string;
  readonly observer: Observer;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
  /** The size of a blob in the LRU index, or of hosted content, in bytes. */
  readonly indexedSize: (digest: Digest) => number | undefined;
}

export class PullThroughCache {
  readonly #options: PullThroughCacheOptions;
  readonly #stop = new AbortController();
  readonly #links: Links;
  readonly #sizes = new DescriptorSizes();
  readonly #manifestGuard = new ManifestGuard(this.#sizes);
  readonly #files: HeldFiles;
  readonly #manifests: HotManifests;
  readonly #served: ServedRepositories;
  readonly #windows = new WindowBudget({ bytesOfOne: 1024 * 1024, bytesOfAll: 64 * 1024 * 1024 });
  readonly #tagLists = createTagListMemory();
  readonly #referrerLists = createReferrersMemory();
  /** For other nodes of a fleet. */
  readonly peers: PeerContent;

  constructor(options: PullThroughCacheOptions) {
    const { store, quarantine, records, downloads, events, verifyAfterMs, observer, logger, now } = options;
    const { signal } = this.#stop;
    setMaxListeners(0, signal); // each running request listens: that is no leak
    this.#options = options;
    this.#links = options.links;
    this.#files = new HeldFiles({
      store,
      quarantine,
      ...(options.isHosted && { isHosted: options.isHosted }),
      events,
      verifyAfterMs,
      observer,
      logger,
      signal,
      now,
      indexedSize: options.indexedSize,
    });
    this.#manifests = new HotManifests({ store, badBlobs: this.#files.bad, events, logger, now });
    this.#served = new ServedRepositories(records);
    this.peers = new CachedPeerContent({
      downloads,
      files: this.#files,
      manifests: this.#manifests,
      links: this.#links,
      isPublic: record => this.isPublic(record),
      record: name => this.#served.record(name),
    });
  }

  /** What is held of all upstreams. */
  get catalog(): RepositoryCatalog {
    return this.#served;
  }

  /** Which repositories are held, and who may know of them. */
  get served(): Pick<ServedRepositories, 'names' | 'mayPull' | 'visibilityOf'> {
    return this.#served;
  }

  /** For the private registry over the same store: held files and hot manifests, pushed or mirrored. */
  get content(): { readonly files: HeldFiles; readonly manifests: HotManifests } {
    return { files: this.#files, manifests: this.#manifests };
  }

  /** Of a blob that is held and that any client may pull, in bytes. Undefined: it isn't, as far as is known. */
  async publicSize(digest: Digest): Promise<number | undefined> {
    return this.#links.isPublic(digest) ? this.#files.sizeOf(digest) : undefined;
  }

  /** Reads the links of public repositories; until then a doubt costs a HEAD. */
  loadLinks(records: AsyncIterable<RepositoryRecord>): Promise<void> {
    return this.#links.load(records);
  }

  /** Any client may pull it, and so its links are public. */
  isPublic(record: RepositoryRecord): boolean {
    return this.#served.isPublic(record);
  }

  /** An upstream through the cache. */
  registry(upstream: Origin, policy: UpstreamPolicy): RegistryReader {
    const { records, downloads, tags, offline, logger, now } = this.#options;
    const { isGuarded } = policy;
    const isPublic = isGuarded ? isKnownPublic : () => policy.isPublic;
    const isAllowed = allowRepositories(policy.allow, policy.deny);
    this.#served.add(upstream.key, { isAllowed, isPublic: policy.isPublic, isGuarded });
    const { origin, access } = isGuarded ? this.#guard(upstream) : { origin: upstream };
    const shared = {
      records,
      tags,
      offline,
      isGuarded,
      manifests: this.#manifests,
      links: this.#links,
      sizes: this.#sizes,
      tagLists: this.#tagLists,
      referrerLists: this.#referrerLists,
      listFiles: records.lists,
      knows: (name: string, digest: Digest) => records.peek(name)?.knows(digest) === true,
      limits: gatheringLimits,
      isPublic,
      isHeld: async (digest: Digest) => downloads.isVerified(digest) || (await this.#files.isHeld(digest)),
      logger,
      signal: this.#stop.signal,
      now,
    };
    const manifests = new CachedManifest(origin, shared);
    return new CachedRegistry({
      key: origin.key,
      isAllowed,
      access,
      records,
      manifests,
      fromMemory: new ManifestFromMemory(origin, isAllowed, shared),
      tags: new CachedTag(origin, manifests, shared),
      blobs: this.#blobs(origin, policy, isPublic),
      tagList: new CachedTagList(origin, shared),
      referrers: new CachedReferrers(origin, shared),
      foreign: new ForeignContent(upstream, isGuarded),
    });
  }

  /** The list on disk has changed. */
  forgetReferrers(recordName: string, digest: Digest): void {
    this.#referrerLists.delete(`${recordName}@${digest}`);
  }

  /** The file of a manifest is gone, so it leaves the memory too. */
  forgetManifest(digest: Digest): void {
    this.#manifests.forget(digest);
  }

  /** Ends downloads and checks, which outlive their clients; partials are kept. Idempotent. */
  async close(): Promise<void> {
    this.#stop.abort(new RegistryError('UNAVAILABLE', { message: 'the mirror is shutting down' }));
    await Promise.all([this.#options.downloads.drained(), this.#files.checks.drained()]);
  }

  #guard(upstream: Origin): { readonly origin: Origin; readonly access: RepositoryAccess } {
    const { records, logger, now, tags } = this.#options;
    const { signal } = this.#stop;
    const visibility = new KnownVisibility({ links: this.#links, logger, now });
    const open = (repository: Repository) => records.open(`${upstream.key}/${repository}`);
    const { negativeTtlMs } = tags;
    const questions = new AnonymousQuestions({ origin: upstream, visibility, negativeTtlMs, signal, now });
    const origin = mapOrigin(
      upstream,
      new VisibilityCheck({ origin: upstream, visibility, questions, open }),
    );
    return { origin, access: new RepositoryAccess({ origin, visibility, questions, signal }) };
  }

  #blobs(
    origin: Origin,
    policy: UpstreamPolicy,
    isPublic: (record: RepositoryRecord) => boolean,
  ): CachedBlob {
    const { downloads, room, events, observer, logger, now } = this.#options;
    const { signal } = this.#stop;
    const recentMismatches = this.#files.mismatches;
    return new CachedBlob({
      origin,
      files: this.#files,
      downloads,
      links: this.#links,
      sizes: this.#sizes,
      heldSizes: new HeldSizes(this.#manifests, this.#sizes),
      guard: this.#manifestGuard,
      recentMismatches,
      passthrough: new Passthrough({ policy, recentMismatches, observer, signal, now }),
      firstByteMs: policy.firstByteMs,
      isPublic,
      events,
      observer,
      signal,
      createDownload: (record, digest, sources, expectedSize) =>
        new Download({
          digest,
          expectedSize,
          sources,
          policy,
          finish: policy.finish,
          isHeld: () => this.#files.isHeld(digest),
          room,
          openIngest: onFollowers => this.#openIngest(digest, record.name, onFollowers),
          onMismatch: () => recentMismatches.add(digest),
          observer,
          logger,
          signal,
          now,
        }),
    });
  }

  async #openIngest(digest: Digest, source: string, onFollowers: (count: number) => void): Promise<Ingest> {
    const { layout, bootId, observer, store, downloads, room } = this.#options;
    await downloads.removed(digest);
    const opening = Ingest.open({
      digest,
      source,
      partPath: layout.partPath(digest),
      journalPath: layout.journalPath(digest),
      tempPath: () => layout.tempPath(),
      bootId,
      observer,
      commit: handle => store.commit(digest, handle),
      windows: this.#windows,
      hashesLater: true,
      onFollowers,
    });
    return opening.catch(error => {
      void downloads.ended(digest).then(() => room.partialLeft(digest));
      throw error;
    });
  }
}
