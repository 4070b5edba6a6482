/** A hosted registry with all its parts over a store in a temporary folder. A test can run something before each commit. */

import { onTestFinished } from 'vitest';
import { UploadRoom } from '../../src/capacity/upload-room.ts';
import { BlobHolds } from '../../src/content/blob-holds.ts';
import { HeldFiles } from '../../src/content/held-files.ts';
import { HotManifests } from '../../src/content/hot-manifests.ts';
import { Adoption } from '../../src/hosted/adoption.ts';
import { BlobLinks } from '../../src/hosted/blob-links.ts';
import { HostedBlobs } from '../../src/hosted/hosted-blobs.ts';
import { HostedDeletes } from '../../src/hosted/hosted-deletes.ts';
import { HostedLists } from '../../src/hosted/hosted-lists.ts';
import { HostedManifests } from '../../src/hosted/hosted-manifests.ts';
import { HostedRegistry } from '../../src/hosted/hosted-registry.ts';
import { ImmutableTags } from '../../src/hosted/immutable-tags.ts';
import type { HostedLog } from '../../src/hosted/log/hosted-log.ts';
import { LoggedRepositories } from '../../src/hosted/log/logged-repositories.ts';
import { ReferenceCounts } from '../../src/hosted/log/reference-counts.ts';
import { PullTimes } from '../../src/hosted/pull-times.ts';
import { ManifestPuts, type ManifestPutsOptions, type Quotas } from '../../src/hosted/put-manifest.ts';
import { HostedQuotas, type HostedQuotasOptions } from '../../src/hosted/quotas.ts';
import { Mounts } from '../../src/hosted/uploads/mounts.ts';
import { Uploads } from '../../src/hosted/uploads/uploads.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { hostRepositories, parseTag, type Repository } from '../../src/oci/name.ts';
import { operatorCaller } from '../../src/registry/caller.ts';
import type { WriteOptions } from '../../src/registry/writer.ts';
import { BlobStore } from '../../src/store/blobs/blob-store.ts';
import { HostedLogs } from '../../src/store/hosted/hosted-logs.ts';
import { StoreLayout } from '../../src/store/layout.ts';
import { UploadFiles } from '../../src/store/uploads/upload-files.ts';
import type { Logger } from '../../src/telemetry/logger.ts';
import type { BlobContent } from './content.ts';
import type { BuiltImage } from './images.ts';
import { tempDir } from './temp-dir.ts';

export interface HostedRigOptions {
  readonly immutable?: readonly string[];
  /** Instead of those of `limits`. */
  readonly quotas?: Quotas;
  readonly limits?: Partial<Pick<HostedQuotasOptions, 'rules' | 'maxBytes'>>;
  readonly publicSize?: ManifestPutsOptions['publicSize'];
  readonly requireWritable?: () => void;
}

export interface HostedRig {
  readonly registry: HostedRegistry;
  readonly pullTimes: PullTimes;
  readonly log: LoggedRepositories;
  /** With `beforeCommit`, as the use cases have it. */
  readonly gatedLog: HostedLog;
  /** Runs before a commit is handed to the log, of the registry's own use cases alone. */
  beforeCommit: (name: Repository) => Promise<void>;
  readonly store: BlobStore;
  readonly layout: StoreLayout;
  readonly holds: BlobHolds;
  /** Lines of the log of the process. */
  readonly errors: string[];
  /** Where the clock stands; a test may set it. */
  nowMs: number;
  /** Puts and links a blob, as an upload does. */
  push(name: Repository, ...blobs: readonly BlobContent[]): Promise<void>;
  /** Blobs and manifests of an image, its children first; the image itself under the tags. */
  pushImage(name: Repository, image: BuiltImage, ...tags: readonly string[]): Promise<void>;
}

/** Of a caller with every right. */
export function writing(user = 'alice'): WriteOptions {
  return { caller: { ...operatorCaller, user }, signal: new AbortController().signal };
}

export async function createHostedRig(options: HostedRigOptions = {}): Promise<HostedRig> {
  const { immutable = [], publicSize = async () => undefined } = options;
  const layout = await StoreLayout.open(await tempDir());
  const observer = { storeError: () => {} };
  const store = new BlobStore({ layout, observer });
  const holds = new BlobHolds();
  const errors: string[] = [];
  const logger: Logger = {
    child: () => logger,
    debug: () => {},
    info: () => {},
    warn: () => {},
    error: (message: string) => errors.push(message),
  };
  const events = { touch: () => {}, verified: () => {}, manifestStored: () => {}, removed: () => {} };
  const clock: Pick<HostedRig, 'nowMs' | 'beforeCommit'> = {
    nowMs: 1_700_000_000_000,
    beforeCommit: async () => {},
  };
  const now = () => clock.nowMs;
  const references = new ReferenceCounts();
  const logs = new HostedLogs({ layout, observer });
  const counted = new HostedQuotas({
    rules: options.limits?.rules ?? [],
    maxBytes: options.limits?.maxBytes ?? Number.POSITIVE_INFINITY,
    known: () => real.complete,
    peek: name => real.peek(name),
  });
  const watch = (name: Repository) => counted.watch(name);
  const quotas = options.quotas ?? counted;
  const real = new LoggedRepositories({ logs, references, watch, logger, now });
  onTestFinished(() => real.close());
  const log: HostedLog = {
    get isComplete() {
      return real.isComplete;
    },
    names: () => real.names(),
    readRepository: name => real.readRepository(name),
    peek: name => real.peek(name),
    closed: () => real.closed(),
    commit: async (name, changes, expectedGeneration, scope) => {
      await clock.beforeCommit(name);
      return real.commit(name, changes, expectedGeneration, scope);
    },
    takeTurn: name => real.takeTurn(name),
  };
  const files = new HeldFiles({
    store,
    quarantine: { take: async () => undefined },
    isHosted: digest => references.has(digest),
    events,
    verifyAfterMs: 1,
    observer,
    logger,
    signal: new AbortController().signal,
    now,
    indexedSize: () => undefined,
  });
  const manifests = new HotManifests({ store, badBlobs: files.bad, events, logger, now });
  const tags = new ImmutableTags(immutable);
  const sizeOf = (digest: Digest) => files.sizeOf(digest);
  const links = new BlobLinks({ log, holds, store, sizeOf, quotas, now });
  const uploads = new Uploads({
    files: new UploadFiles({ layout, observer, bootId: 'boot' }),
    store,
    log,
    links,
    mounts: new Mounts({ log, links, sizeOf, publicSize, logger }),
    room: new UploadRoom({
      refresh: async () => {},
      diskBytes: () => Number.POSITIVE_INFINITY,
      cacheBytes: () => 0,
      evict: async () => {},
      makeRoom: async () => false,
    }),
    ttlMs: 86_400_000,
    observer: { received: () => {}, uploadsOpen: () => {}, uploadEnded: () => {} },
    logger,
    orphaned: () => {},
    now,
  });
  onTestFinished(() => uploads.close());
  const pullTimes = new PullTimes({ log, logger, now });
  const requireWritable = options.requireWritable ?? (() => {});
  const adoption = new Adoption({ links, publicSize, requireWritable, freshMs: 3_600_000, logger, now });
  const registry = new HostedRegistry({
    isHosted: hostRepositories(['team/**']),
    requireWritable,
    manifests: new HostedManifests({
      log,
      manifests,
      pullTimes,
      renew: (name, link, reading) => adoption.renew(name, link, reading),
    }),
    blobs: new HostedBlobs({ log, files, touch: () => {} }),
    lists: new HostedLists(log),
    uploads,
    puts: new ManifestPuts({
      log,
      store,
      files,
      manifests,
      holds,
      immutable: tags,
      quotas,
      publicSize,
      orphaned: () => {},
      now,
    }),
    deletes: new HostedDeletes({ log, immutable: tags, now }),
  });
  const push = async (name: Repository, ...blobs: readonly BlobContent[]) => {
    for (const blob of blobs) {
      const { digest, size } = blob;
      await store.put(digest, blob.slice(0, size));
      await log.commit(name, [{ type: 'link', digest, size, at: clock.nowMs, how: 'push' }]);
    }
  };
  return Object.assign(clock, {
    registry,
    pullTimes,
    log: real,
    gatedLog: log,
    store,
    layout,
    holds,
    errors,
    push,
    pushImage: async (name: Repository, image: BuiltImage, ...tags: readonly string[]) => {
      await push(name, ...image.blobs.map(({ content }) => content));
      for (const { descriptor, bytes } of image.manifests) {
        const mine = descriptor.digest === image.digest ? tags.map(parseTag) : [];
        const manifest = { bytes, mediaType: descriptor.mediaType, tags: mine };
        await registry.putManifest(name, descriptor.digest, manifest, writing());
      }
    },
  });
}
