/**
 * The private registry, put together over the store and what the cache holds. Absent where `hosted.repositories` names nothing.
 */
import type { PullThroughCache } from '../../cached/pull-through-cache.ts';
import type { BlobHolds } from '../../content/blob-holds.ts';
import { HostedBlobs } from '../../hosted/hosted-blobs.ts';
import { HostedCatalog } from '../../hosted/hosted-catalog.ts';
import { HostedDeletes } from '../../hosted/hosted-deletes.ts';
import { HostedLists } from '../../hosted/hosted-lists.ts';
import { HostedManifests } from '../../hosted/hosted-manifests.ts';
import { HostedRegistry } from '../../hosted/hosted-registry.ts';
import { ImmutableTags } from '../../hosted/immutable-tags.ts';
import type { HostedLog } from '../../hosted/log/hosted-log.ts';
import { ManifestPuts } from '../../hosted/put-manifest.ts';
import { RegistryError } from '../../oci/error.ts';
import { HUB, hostRepositories } from '../../oci/name.ts';
import type { HostedEntry } from '../../registry/directory.ts';
import type { RepositoryCatalog } from '../../registry/registry.ts';
import type { AppContext } from '../app-context.ts';
import type { Storage } from '../storage.ts';
import { openUploads } from './hosted-uploads.ts';

export interface OpenedHosted extends HostedEntry {
  readonly registry: HostedRegistry;
  readonly log: HostedLog;
  readonly holds: BlobHolds;
  /** Of hosted and mirrored repositories. */
  readonly catalog: RepositoryCatalog;
  isHosted(name: string): boolean;
  requireWritable(): void;
}

export async function openHosted(
  cache: PullThroughCache,
  storage: Storage,
  context: AppContext,
): Promise<OpenedHosted | undefined> {
  const { config, logger, now } = context;
  const { store, lru, lastUses } = storage;
  const { repositories, immutable: immutablePatterns, readOnly } = config.hosted;
  if (repositories.length === 0) return undefined;
  const { log, holds, quotas } = storage.hosted;
  const isHosted = hostRepositories(repositories);
  const { files, manifests } = cache.content;
  const immutable = new ImmutableTags(immutablePatterns);
  const touch = (digest: Parameters<typeof lru.touch>[0]): void => {
    lru.touch(digest);
    lastUses.touch(digest);
  };
  const writable = () => requireWritable(readOnly);
  const uploadParts = { log, holds, quotas, requireWritable: writable };
  const { uploads, adoption } = await openUploads(cache, storage, uploadParts, context);
  const registry = new HostedRegistry({
    isHosted,
    requireWritable: writable,
    manifests: new HostedManifests({ log, manifests, logger, now }),
    blobs: new HostedBlobs({
      log,
      files,
      touch,
      adopt: (name, digest, options) => adoption.adopt(name, digest, options),
      renew: (name, link, options) => adoption.renew(name, link, options),
    }),
    lists: new HostedLists(log),
    uploads,
    puts: new ManifestPuts({
      log,
      store,
      files,
      manifests,
      holds,
      immutable,
      quotas,
      publicSize: digest => cache.publicSize(digest),
      now,
    }),
    deletes: new HostedDeletes({ log, immutable, now }),
  });
  const catalog = new HostedCatalog({ log, complete: log.complete, isHosted, mirrored: cache.catalog });
  sayShadowed(context);
  return { patterns: repositories, registry, log, holds, catalog, isHosted, requireWritable: writable };
}

/** Clients that name no registry (dockerd) can't have these of the default upstream any more. */
function sayShadowed({ config, logger }: AppContext): void {
  const { defaultUpstream, hosted } = config;
  if (defaultUpstream === undefined) return;
  const shadowed = hosted.repositories.map(pattern => {
    const isOfficial = defaultUpstream === HUB && !pattern.includes('/') && !pattern.includes('**');
    return `${defaultUpstream}/${isOfficial ? 'library/' : ''}${pattern}`;
  });
  logger.info('hosted names go before those of the default upstream for clients that send no ns', {
    shadowed,
  });
}

/** Errors: UNAVAILABLE. */
function requireWritable(readOnly: boolean | string): void {
  if (readOnly === false) return;
  const message = readOnly === true ? 'this registry is read-only for now, try again later' : readOnly;
  throw new RegistryError('UNAVAILABLE', { message });
}
