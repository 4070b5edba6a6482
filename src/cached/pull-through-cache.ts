/**
 * The cache as a whole: what all upstreams of a mirror share (downloads, links, hot manifests, memories), and one
 * `RegistryReader` for each of them. It owns the running downloads and ends them.
 */
import { setMaxListeners } from 'node:events';
import { HeldFiles, type HeldFilesOptions } from '../content/held-files.ts';
import { HotManifests } from '../content/hot-manifests.ts';
import { RecentMismatches } from '../content/recent-mismatches.ts';
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import type { Repository } from '../oci/name.ts';
import { anonymousCaller } from '../registry/caller.ts';
import type { Origin } from '../registry/origin.ts';
import { allowRepositories } from '../registry/pattern.ts';
import type { PeerContent } from '../registry/peer.ts';
import type { RegistryReader, RepositoryCatalog } from '../registry/registry.ts';
import { Ingest } from '../store/ingest/ingest.ts';
import type { StoreLayout } from '../store/layout.ts';
import type { Records } from '../store/records/records.ts';
import type { RepositoryRecord } from '../store/records/repository-record.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Observer } from '../telemetry/observer.ts';
import { KnownVisibility } from './access/known-visibility.ts';
import { Links } from './access/links.ts';
import { RepositoryAccess } from './access/repository-access.ts';
import { ServedRepositories } from './access/served-repositories.ts';
import { VisibilityCheck } from './access/visibility-check.ts';
import { CachedBlob } from './blobs/cached-blob.ts';
import { Passthrough } from './blobs/passthrough.ts';
import { CachedPeerContent } from './blobs/peer-content.ts';
import { CachedRegistry } from './cached-registry.ts';
import { Download } from './download/download.ts';
import type { Downloads } from './download/downloads.ts';
import type { ByteReservation } from './download/room.ts';
import { CachedReferrers, createReferrersMemory } from './lists/cached-referrers.ts';
import { CachedTagList, createTagListMemory } from './lists/cached-tag-list.ts';
import { Catalog } from './lists/catalog.ts';
import { gatheringLimits } from './lists/paginate.ts';
import { CachedManifest } from './manifests/cached-manifest.ts';
import { CachedTag } from './manifests/cached-tag.ts';
import { DescriptorSizes } from './manifests/descriptor-sizes.ts';
import type { TagPolicy } from './manifests/freshness.ts';
import { ImageCompleteness } from './manifests/image-completeness.ts';
import { ManifestFromMemory } from './manifests/manifest-from-memory.ts';
import { NegativeCache } from './manifests/negative-cache.ts';
import type { UpstreamPolicy } from './upstream-policy.ts';

export interface PullThroughCacheOptions extends Omit<HeldFilesOptions, 'suspects' | 'signal'> {
  readonly layout: StoreLayout;
  readonly records: Records;
  /** Those that run: the capacity looks at them too. */
  readonly downloads: Downloads;
  readonly tags: TagPolicy;
  readonly offline: boolean;
  /** Names this boot of the machine: see store/ingest/journal.ts. */
  readonly bootId: string;
  readonly observer: Observer;
  readonly logger: Logger;
  now(): number;
  /** Room for a blob of that digest; its partial, if there is one, is part of it. */
  reserve(bytes: number, digest: Digest): Promise<ByteReservation | undefined>;
  /** An earlier partial of it could not be opened, and may still be there: its reservation had taken it over. */
  partialLeft(digest: Digest): void;
  touch(digest: Digest): void;
  /** A manifest of that many bytes is in the store now. */
  manifestStored(digest: Digest, bytes: number): void;
}

export class PullThroughCache {
  readonly #options: PullThroughCacheOptions;
  readonly #stop = new AbortController();
  readonly #links = new Links();
  readonly #sizes = new DescriptorSizes();
  readonly #suspects: RecentMismatches;
  readonly #absent: NegativeCache;
  readonly #files: HeldFiles;
  readonly #manifests: HotManifests;
  readonly #availability: ImageCompleteness;
  readonly #tagLists = createTagListMemory();
  readonly #referrers = createReferrersMemory();
  readonly #served: ServedRepositories;
  /** Of what is held for all upstreams. */
  readonly catalog: RepositoryCatalog;
  /** For other nodes of a fleet. */
  readonly peers: PeerContent;

  constructor(options: PullThroughCacheOptions) {
    this.#options = options;
    setMaxListeners(0, this.#stop.signal); // one for each question under way: no leak, and no warning on stderr
    this.#suspects = new RecentMismatches(options.now);
    this.#served = new ServedRepositories({ open: name => options.records.open(name) });
    this.#absent = new NegativeCache(options.tags.negativeTtlMs, options.now);
    this.#files = new HeldFiles({ ...options, suspects: this.#suspects, signal: this.#stop.signal });
    this.#manifests = new HotManifests({
      store: options.store,
      badBlobs: this.#files.bad,
      logger: options.logger,
      touch: options.touch,
      stored: options.manifestStored,
    });
    this.#availability = new ImageCompleteness({
      manifests: this.#manifests,
      links: this.#links,
      isHeld: async digest => options.downloads.isVerified(digest) || (await this.#files.isHeld(digest)),
    });
    this.catalog = new Catalog({
      names: () => this.#recordNames(),
      mayPull: (name, { caller = anonymousCaller }) => this.#served.mayPull(name, caller),
    });
    this.peers = new CachedPeerContent({
      ...options,
      files: this.#files,
      manifests: this.#manifests,
      links: this.#links,
      isPublic: record => this.isPublic(record),
      record: name => this.#served.record(name),
    });
  }

  /** Reads who may have what from the records of public repositories; until then a doubt costs a HEAD. */
  loadLinks(records: AsyncIterable<RepositoryRecord>): Promise<void> {
    return this.#links.load(records);
  }

  /** Anybody may pull it: so may they what is linked to it, through any repository. */
  isPublic(record: RepositoryRecord): boolean {
    return this.#served.isPublic(record);
  }

  /** The upstream's registry through the cache. */
  registry(unguarded: Origin, policy: UpstreamPolicy): RegistryReader {
    const { records, downloads, tags, offline, observer, logger, now, touch } = this.#options;
    const { isPublic, isGuarded, allow, deny } = policy;
    const { origin, admission } = isGuarded ? this.#guard(unguarded) : { origin: unguarded };
    const parts = {
      origin,
      isPublic: (record: RepositoryRecord) => this.isPublic(record),
      manifests: this.#manifests,
      links: this.#links,
      sizes: this.#sizes,
      availability: this.#availability,
      absent: this.#absent,
      observer,
      logger,
      now,
      signal: this.#stop.signal,
    };
    const isAllowed = allowRepositories(allow, deny);
    this.#served.add(origin.key, { isAllowed, isPublic, isGuarded });
    const lists = { ...parts, policy: tags, offline, limits: gatheringLimits };
    const byDigest = new CachedManifest(parts);
    return new CachedRegistry({
      key: origin.key,
      isAllowed,
      admission,
      records,
      manifests: byDigest,
      atOnce: new ManifestFromMemory({ ...parts, policy: tags, isAllowed, records }),
      tags: new CachedTag({ ...parts, policy: tags, offline, byDigest }),
      blobs: new CachedBlob({
        ...parts,
        files: this.#files,
        downloads,
        suspects: this.#suspects,
        passages: new Passthrough({ ...parts, policy, suspects: this.#suspects }),
        touch,
        createDownload: (record, digest, sources, expectedSize) =>
          new Download({
            ...parts,
            digest,
            expectedSize,
            sources,
            policy,
            finish: policy.finish,
            isHeld: () => this.#files.isHeld(digest),
            reserve: bytes => this.#options.reserve(bytes, digest),
            openIngest: onFollowers => this.#openIngest(digest, record.name, onFollowers),
            onMismatch: () => this.#suspects.add(digest),
          }),
      }),
      tagList: new CachedTagList({ ...lists, memory: this.#tagLists }),
      referrers: new CachedReferrers({ ...lists, memory: this.#referrers }),
    });
  }

  /** A manifest's file is gone: it isn't kept in memory either. */
  forgetManifest(digest: Digest): void {
    this.#manifests.forget(digest);
  }

  /** Ends what outlives its clients; partials are kept. Idempotent. */
  async close(): Promise<void> {
    this.#stop.abort(new RegistryError('UNAVAILABLE', { message: 'the mirror is shutting down' }));
    await Promise.all([this.#options.downloads.drained(), this.#files.checks.drained()]);
  }

  #guard(unguarded: Origin): { readonly origin: Origin; readonly admission: RepositoryAccess } {
    const { records, logger, now } = this.#options;
    const verdicts = new KnownVisibility({ links: this.#links, logger, now });
    const open = (repository: Repository) => records.open(`${unguarded.key}/${repository}`);
    const origin = new VisibilityCheck({ origin: unguarded, verdicts, open });
    return { origin, admission: new RepositoryAccess({ origin, verdicts, signal: this.#stop.signal }) };
  }

  /** What was pulled a moment ago is among them. */
  async *#recordNames(): AsyncGenerator<string, void, void> {
    const { records } = this.#options;
    await records.flush();
    yield* records.names();
  }

  async #openIngest(digest: Digest, source: string, onFollowers: (count: number) => void): Promise<Ingest> {
    const { layout, bootId, observer, store, downloads } = this.#options;
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
      hashesLater: true,
      onFollowers,
    });
    return opening.catch(error => {
      void downloads.ended(digest).then(() => this.#options.partialLeft(digest));
      throw error;
    });
  }
}
