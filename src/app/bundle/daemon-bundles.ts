/** Export and import of bundles over the parts of a running daemon: what comes counts in the cache's limit, or as hosted. */
import type { BundleAdmin } from '../../admin/bundle-admin.ts';
import { imageHostsOf } from '../../admin/image-name.ts';
import { RegistryContent } from '../../admin/registry-content.ts';
import { StoreContent } from '../../admin/store-content.ts';
import type { PullThroughCache } from '../../cached/pull-through-cache.ts';
import type { Digest } from '../../oci/digest.ts';
import type { RegistryReader } from '../../registry/registry.ts';
import { FileAdoption } from '../../store/import/file-adoption.ts';
import type { AppContext } from '../app-context.ts';
import type { OpenedHosted } from '../hosted/hosted.ts';
import type { Storage } from '../storage.ts';
import { type BlobRoom, createBundles } from './bundles.ts';
import { createImporters } from './importers.ts';

export interface DaemonBundleParts {
  readonly cache: PullThroughCache;
  readonly storage: Storage;
  readonly upstreams: readonly { readonly key: string; readonly registry: RegistryReader }[];
  /** Undefined: nothing is hosted. */
  readonly hosted: OpenedHosted | undefined;
}

export function createDaemonBundles(
  { cache, storage, upstreams, hosted }: DaemonBundleParts,
  { config, logger, metrics, now }: AppContext,
): BundleAdmin {
  const { layout, store, records, links, owners, hosted: content } = storage;
  const hosts = imageHostsOf(config);
  const registries = new Map(upstreams.map(({ key, registry }) => [key, registry]));
  const held = new StoreContent({
    hosts,
    records,
    store,
    hosted: name => content.log.readRepository(name),
  });
  return createBundles({
    hosts,
    content: new RegistryContent({
      hosts,
      registry: host => (host === '' ? hosted?.registry : registries.get(host)),
      held,
    }),
    store,
    adoption: new FileAdoption({ layout, store, observer: metrics }),
    holds: content.holds,
    reserve: (bytes, mayBeHosted) => reserve(storage, bytes, mayBeHosted),
    ...createImporters(
      {
        records,
        links,
        hosted: content,
        store,
        ...(hosted && { requireWritable: () => hosted.requireWritable() }),
        isPublic: record => cache.isPublic(record),
        manifestStored: ({ digest, size }) => {
          owners.gone(digest); // it came as a blob
          owners.manifestStored(digest, size);
        },
        forgetReferrers: (name, digest) => cache.forgetReferrers(name, digest),
        now,
      },
      config,
    ),
    logger,
  });
}

async function reserve(
  { capacity, hosted, lru }: Storage,
  bytes: number,
  mayBeHosted: boolean,
): Promise<BlobRoom | undefined> {
  const cached = await capacity.reserve(bytes);
  if (cached !== undefined)
    return { kept: digest => cached.settle(digest, bytes), ended: () => cached.release() };
  const upload = mayBeHosted ? capacity.uploads.open(0) : undefined;
  if (upload === undefined) return undefined;
  if (!(await upload.take(bytes, bytes))) {
    upload.release();
    return undefined;
  }
  let kept: Digest | undefined;
  return {
    kept: digest => {
      kept = digest;
      upload.wrote(bytes);
    },
    ended: () => {
      upload.release();
      if (kept !== undefined && !hosted.references.has(kept)) lru.add(kept, bytes);
      kept = undefined;
    },
  };
}
