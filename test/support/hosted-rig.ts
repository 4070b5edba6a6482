/** A hosted registry over a real store in a temporary folder, with a log in memory whose commits a test can hold. */

import { BlobHolds } from '../../src/content/blob-holds.ts';
import { HeldFiles } from '../../src/content/held-files.ts';
import { HotManifests } from '../../src/content/hot-manifests.ts';
import { HostedBlobs } from '../../src/hosted/hosted-blobs.ts';
import { HostedDeletes } from '../../src/hosted/hosted-deletes.ts';
import { HostedLists } from '../../src/hosted/hosted-lists.ts';
import { HostedManifests } from '../../src/hosted/hosted-manifests.ts';
import { HostedRegistry, type Uploads } from '../../src/hosted/hosted-registry.ts';
import { ImmutableTags } from '../../src/hosted/immutable-tags.ts';
import { ManifestPuts, type ManifestPutsOptions } from '../../src/hosted/put-manifest.ts';
import { hostRepositories, parseTag, type Repository } from '../../src/oci/name.ts';
import { operatorCaller } from '../../src/registry/caller.ts';
import type { WriteOptions } from '../../src/registry/writer.ts';
import { BlobStore } from '../../src/store/blobs/blob-store.ts';
import { StoreLayout } from '../../src/store/layout.ts';
import type { Logger } from '../../src/telemetry/logger.ts';
import type { BlobContent } from './content.ts';
import type { BuiltImage } from './images.ts';
import { MemoryHostedLog } from './memory-hosted-log.ts';
import { tempDir } from './temp-dir.ts';

export interface HostedRigOptions {
  readonly immutable?: readonly string[];
  readonly quotas?: ManifestPutsOptions['quotas'];
  readonly publicSize?: ManifestPutsOptions['publicSize'];
  readonly uploads?: Uploads;
  readonly requireWritable?: () => void;
}

export interface HostedRig {
  readonly registry: HostedRegistry;
  readonly log: MemoryHostedLog;
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

export const refuseUploads: Uploads = {
  startUpload: () => Promise.reject(new Error('no uploads in this test')),
  upload: () => Promise.reject(new Error('no uploads in this test')),
};

export async function createHostedRig(options: HostedRigOptions = {}): Promise<HostedRig> {
  const { immutable = [], quotas, publicSize, uploads = refuseUploads } = options;
  const layout = await StoreLayout.open(await tempDir());
  const observer = { storeError: () => {} };
  const store = new BlobStore({ layout, observer });
  const log = new MemoryHostedLog();
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
  const clock = { nowMs: 1_700_000_000_000 };
  const now = () => clock.nowMs;
  const files = new HeldFiles({
    store,
    quarantine: { take: async () => undefined },
    isHosted: digest => log.names().some(name => log.peek(name)?.link(digest) !== undefined),
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
  const registry = new HostedRegistry({
    isHosted: hostRepositories(['team/**']),
    requireWritable: options.requireWritable ?? (() => {}),
    manifests: new HostedManifests({ log, manifests, logger, now }),
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
      ...(quotas && { quotas }),
      ...(publicSize && { publicSize }),
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
    log,
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
