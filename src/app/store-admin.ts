/**
 * The admin commands over a store without a daemon. A command that changes the store holds the admin socket, so that no
 * daemon starts meanwhile, and runs as the store's user, so that the daemon can write every file afterwards.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { StatsReport } from '../admin/admin.ts';
import { imageHostsOf } from '../admin/image-name.ts';
import { LocalAdmin } from '../admin/local-admin.ts';
import { StoreContent } from '../admin/store-content.ts';
import { TagCommands } from '../admin/tag-commands.ts';
import { Links } from '../cached/access/links.ts';
import { computeLimit } from '../capacity/ledger.ts';
import type { Config } from '../config/config.ts';
import type { Digest } from '../oci/digest.ts';
import { hostRepositories } from '../oci/name.ts';
import { BlobStore } from '../store/blobs/blob-store.ts';
import { FileAdoption } from '../store/import/file-adoption.ts';
import { sumPartials } from '../store/ingest/sweep.ts';
import { StoreLayout } from '../store/layout.ts';
import { StoreOwner } from '../store/owner.ts';
import { readManifest } from '../store/records/image-tree.ts';
import { PinnedBlobs } from '../store/records/pinned-blobs.ts';
import { Records } from '../store/records/records.ts';
import { isMissing, StoreError } from '../store/store-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import { readVersion } from '../version.ts';
import { createBundles } from './bundle/bundles.ts';
import { createImporters } from './bundle/importers.ts';
import { openDailyReport } from './daily-report.ts';
import { createFolderImport } from './hosted/folder-import.ts';
import { HostedContent } from './hosted/hosted-log.ts';
import { createHostedTags } from './hosted/tags.ts';
import { openStoreScrub } from './ops/scrub.ts';

export interface StoreAdmin {
  readonly admin: LocalAdmin;
  close(): Promise<void>;
}

export interface StoreAdminOptions {
  readonly logger: Logger;
  /** The command changes the store. */
  readonly isChange: boolean;
  /** Where there is no store yet, one is made. */
  readonly makesStore?: boolean;
}

/** Errors: `StoreError` MISSING, FOREIGN, LAYOUT, OWNED; system errors as they are. */
export async function openStoreAdmin(
  config: Config,
  { logger, isChange, makesStore = false }: StoreAdminOptions,
): Promise<StoreAdmin> {
  await requireStore(config.store.path, isChange, makesStore);
  const owner = isChange ? await StoreOwner.acquire(config.store.path) : undefined;
  try {
    const layout = await StoreLayout.open(config.store.path);
    const observer = { storeError: () => {} }; // the commands throw these errors
    const store = new BlobStore({ layout, observer });
    const pins = new PinnedBlobs({ store, logger });
    const records = new Records({
      layout,
      observer,
      logger,
      listener: pins,
    });
    const hosted = new HostedContent(layout, { config, metrics: observer, logger, now: Date.now });
    const { repositories } = config.hosted;
    const importFolder = createFolderImport({
      layout,
      store,
      observer,
      logger,
      log: hosted.log,
      holds: hosted.holds,
      isHosted: hostRepositories(repositories),
      requireWritable: () => {}, // the operator's own command
      now: () => Date.now(),
    });
    const ready = async () => {
      await Promise.all([loadPins(records, pins), hosted.log.complete]);
    };
    const { tags } = createHostedTags(
      {
        content: hosted,
        pins,
        files: store,
        readManifest: (digest, mediaType) => readManifest(store, { digest, mediaType }),
        requireWritable: () => {}, // the operator's own command
        logger,
        now: Date.now,
      },
      config,
    );
    const hosts = imageHostsOf(config);
    const content = new StoreContent({
      hosts,
      records,
      store,
      hosted: name => hosted.log.readRepository(name),
    });
    const bundles = createBundles({
      hosts,
      content,
      store,
      adoption: new FileAdoption({ layout, store, observer }),
      holds: hosted.holds,
      ...createImporters({ records, links: new Links(), hosted, store }, config),
      logger,
    });
    const admin = new LocalAdmin({
      records,
      store,
      pins,
      logger,
      hosts: imageHostsOf(config),
      importFolder: repositories.length === 0 ? undefined : importFolder,
      registry: undefined,
      bundles,
      tags: new TagCommands({
        hosts: imageHostsOf(config),
        records,
        store,
        hosted: repositories.length === 0 ? undefined : tags,
        registry: () => undefined,
        ready,
        logger,
      }),
      isActive: () => false,
      isHosted: digest => hosted.mayLink(digest),
      scrub: async (wanted, signal, onProgress) => {
        await hosted.log.complete;
        const { bytesPerSecond } = config.store.scrub;
        const scrub = openStoreScrub({
          layout,
          store,
          hosted,
          observer,
          logger,
          bytesPerSecond,
          now: Date.now,
        });
        return await scrub.run(signal, onProgress, wanted);
      },
      usage: async sinceMs => {
        const report = await openDailyReport({ layout, observer, logger, now: Date.now });
        return report.read(sinceMs);
      },
      repair: (name, signal) => hosted.repair(name, { store, records }, signal),
      blobRemoved: () => {},
      manifestRemoved: () => {},
      flush: () => Promise.resolve(),
      ready,
      stats: async () => {
        await loadPins(records, pins);
        return readStats(config, layout, store, records, pins);
      },
    });
    return {
      admin,
      close: async () => {
        await Promise.all([records.close(), hosted.log.close()]).finally(() => owner?.release());
      },
    };
  } catch (error) {
    await owner?.release();
    throw error;
  }
}

/** Counts file by file. The pins must be loaded. Errors: `StoreError`. */
async function readStats(
  config: Config,
  layout: StoreLayout,
  store: BlobStore,
  records: Records,
  pins: PinnedBlobs,
): Promise<StatsReport> {
  const manifests = new Set<Digest>();
  for (const name of await records.allNames())
    for (const { digest } of (await records.look(name)).manifests()) manifests.add(digest);
  const partialBytes = await sumPartials(layout);
  let [bytes, blobs] = [partialBytes + records.bytes, 0];
  for await (const { digest, size } of store.scan()) {
    bytes += size;
    if (!manifests.has(digest)) blobs += 1;
  }
  const { free, total } = await store.freeBytes();
  const limit = computeLimit(config.store, { free, total, onDisk: bytes });
  return {
    version: await readVersion(),
    store: {
      path: layout.path,
      bytes,
      blobs,
      limitBytes: Number.isFinite(limit.bytes) ? limit.bytes : null,
      limitReason: limit.reason,
      freeBytes: free,
      partialBytes,
      pinnedBytes: pins.bytes,
      scanned: true,
    },
    daemon: null,
  };
}

async function loadPins(records: Records, pins: PinnedBlobs): Promise<void> {
  for (const name of await records.allNames()) await pins.load(await records.look(name));
  pins.loaded();
}

/** Opening a layout would create a store where there is none. */
async function requireStore(path: string, isChange: boolean, makesStore: boolean): Promise<void> {
  let uid: number;
  try {
    ({ uid } = await stat(join(path, 'layout')));
  } catch (error) {
    if (!isMissing(error)) throw error;
    if (makesStore) {
      await StoreLayout.open(path);
      return;
    }
    const message = `there is no store at ${path} (store.path): no daemon has run there yet`;
    throw new StoreError('open', 'MISSING', message);
  }
  const ownUid = process.geteuid?.();
  if (isChange && ownUid !== undefined && ownUid !== uid) {
    const message = `the store at ${path} belongs to the user with id ${uid}: run this as that user, got ${ownUid}`;
    throw new StoreError('open', 'FOREIGN', message);
  }
}
