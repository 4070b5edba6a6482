/**
 * The private registry, put together over the store and what the cache holds. Absent where `hosted.repositories` names nothing.
 */
import type { PullThroughCache } from '../cached/pull-through-cache.ts';
import { BlobHolds } from '../content/blob-holds.ts';
import { HostedBlobs } from '../hosted/hosted-blobs.ts';
import { HostedDeletes } from '../hosted/hosted-deletes.ts';
import { HostedLists } from '../hosted/hosted-lists.ts';
import { HostedManifests } from '../hosted/hosted-manifests.ts';
import { HostedRegistry, type Uploads } from '../hosted/hosted-registry.ts';
import { ImmutableTags } from '../hosted/immutable-tags.ts';
import type { HostedLog } from '../hosted/log/hosted-log.ts';
import { ManifestPuts } from '../hosted/put-manifest.ts';
import { RegistryError } from '../oci/error.ts';
import { hostRepositories } from '../oci/name.ts';
import type { HostedEntry } from '../registry/directory.ts';
import type { AppContext } from './app-context.ts';
import type { Storage } from './storage.ts';

/** What other branches build: handed in until it is here. */
export interface HostedParts {
  readonly log: HostedLog;
  readonly uploads: Uploads;
}

export interface OpenedHosted extends HostedEntry {
  readonly registry: HostedRegistry;
  readonly log: HostedLog;
  readonly holds: BlobHolds;
  isHosted(name: string): boolean;
  requireWritable(): void;
}

export async function openHosted(
  cache: PullThroughCache,
  { store, lru, lastUses }: Storage,
  parts: HostedParts | undefined,
  { config, logger, now }: AppContext,
): Promise<OpenedHosted | undefined> {
  const { repositories, immutable: immutablePatterns, readOnly } = config.hosted;
  if (repositories.length === 0 || parts === undefined) return undefined;
  const { log, uploads } = parts;
  const { files, manifests } = cache.content;
  const holds = new BlobHolds();
  const immutable = new ImmutableTags(immutablePatterns);
  const touch = (digest: Parameters<typeof lru.touch>[0]): void => {
    lru.touch(digest);
    lastUses.touch(digest);
  };
  const registry = new HostedRegistry({
    isHosted: hostRepositories(repositories),
    requireWritable: () => requireWritable(readOnly),
    manifests: new HostedManifests({ log, manifests, logger, now }),
    blobs: new HostedBlobs({ log, files, touch }),
    lists: new HostedLists(log),
    uploads,
    puts: new ManifestPuts({
      log,
      store,
      files,
      manifests,
      holds,
      immutable,
      publicSize: digest => cache.publicSize(digest),
      now,
    }),
    deletes: new HostedDeletes({ log, immutable, now }),
  });
  return {
    patterns: repositories,
    registry,
    log,
    holds,
    isHosted: hostRepositories(repositories),
    requireWritable: () => requireWritable(readOnly),
  };
}

/** Errors: UNAVAILABLE. */
function requireWritable(readOnly: boolean | string): void {
  if (readOnly === false) return;
  const message = readOnly === true ? 'this registry is read-only for now, try again later' : readOnly;
  throw new RegistryError('UNAVAILABLE', { message });
}
