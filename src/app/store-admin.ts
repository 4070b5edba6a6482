/**
 * The commands over a store that no daemon has. What changes it takes the owner's socket for as long as it runs, so that no
 * daemon starts in between; and it runs as the user whose store it is, so that no daemon finds files that it can't write.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LocalAdmin } from '../admin/local-admin.ts';
import type { Config } from '../config/config.ts';
import { BlobStore } from '../store/blobs/blob-store.ts';
import { StoreLayout } from '../store/layout.ts';
import { StoreOwner } from '../store/owner.ts';
import { PinnedBlobs } from '../store/records/pinned-blobs.ts';
import { Records } from '../store/records/records.ts';
import { isMissing, StoreError } from '../store/store-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import { imageHostsOf } from './image-hosts.ts';
import { readStoreStats } from './store-stats.ts';

export interface StoreAdmin {
  readonly admin: LocalAdmin;
  close(): Promise<void>;
}

export interface StoreAdminOptions {
  readonly logger: Logger;
  /** It will change something. */
  readonly isChange: boolean;
}

/** Errors: `StoreError` MISSING, FOREIGN, LAYOUT, OWNED; system errors as they are. */
export async function openStoreAdmin(
  config: Config,
  { logger, isChange }: StoreAdminOptions,
): Promise<StoreAdmin> {
  await requireStore(config.store.path, isChange);
  const owner = isChange ? await StoreOwner.acquire(config.store.path) : undefined;
  try {
    const layout = await StoreLayout.open(config.store.path);
    const observer = { storeError: () => {} }; // what matters comes as an error too
    const store = new BlobStore({ layout, observer });
    const pins = new PinnedBlobs({ store, logger });
    const records = new Records({
      layout,
      observer,
      logger,
      onEntry: (entry, record) => pins.heard(entry, record),
    });
    const parts = { config, layout, store, records, pins };
    const admin = new LocalAdmin({
      ...parts,
      logger,
      hosts: imageHostsOf(config),
      registry: undefined,
      isActive: () => false,
      blobRemoved: () => {},
      manifestRemoved: () => {},
      flush: () => Promise.resolve(),
      ready: () => loadPins(records, pins),
      stats: async () => {
        await loadPins(records, pins);
        return readStoreStats(parts);
      },
    });
    return { admin, close: async () => await records.close().finally(() => owner?.release()) };
  } catch (error) {
    await owner?.release();
    throw error;
  }
}

async function loadPins(records: Records, pins: PinnedBlobs): Promise<void> {
  for await (const name of records.names()) await pins.load(await records.open(name));
  pins.loaded();
}

/** Opening a layout would make a store where none is. */
async function requireStore(path: string, isChange: boolean): Promise<void> {
  let uid: number;
  try {
    ({ uid } = await stat(join(path, 'layout')));
  } catch (error) {
    if (!isMissing(error)) throw error;
    const message = `there is no store at ${path} (store.path): no daemon has run there yet`;
    throw new StoreError('open', 'MISSING', message);
  }
  const ours = process.geteuid?.();
  if (isChange && ours !== undefined && ours !== uid) {
    const message = `the store at ${path} is of the user with id ${uid}: run this as that user, got ${ours}`;
    throw new StoreError('open', 'FOREIGN', message);
  }
}
