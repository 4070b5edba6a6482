/**
 * `cistern import --from`, put together over a store and its hosted log: in the daemon, and for a store without one. What the folder
 * lacks is asked of the registry at `--from-url`, by the same client as upstreams are.
 */
import type { ImportFolder } from '../../admin/admin.ts';
import type { BlobHolds } from '../../content/blob-holds.ts';
import { importFolder } from '../../hosted/import/import.ts';
import type { ImportOrigin } from '../../hosted/import/import-report.ts';
import type { HostedLog } from '../../hosted/log/hosted-log.ts';
import { RegistryError } from '../../oci/error.ts';
import { isRepository } from '../../oci/name.ts';
import type { Origin } from '../../registry/origin.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { BlobStore } from '../../store/blobs/blob-store.ts';
import { FileAdoption } from '../../store/import/file-adoption.ts';
import type { StoreLayout } from '../../store/layout.ts';
import type { StoreObserver } from '../../store/store-error.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { openUpstream } from '../../upstream/upstream-urls.ts';
import { ignoring } from '../upstream-check.ts';

export interface FolderImportParts {
  readonly layout: StoreLayout;
  readonly store: BlobStore;
  readonly log: HostedLog;
  readonly holds: BlobHolds;
  readonly observer: StoreObserver;
  readonly logger: Logger;
  isHosted(name: string): boolean;
  requireWritable(): void;
  now(): number;
}

export function createFolderImport(parts: FolderImportParts): ImportFolder {
  const adoption = new FileAdoption(parts);
  return async ({ from, fromUrl, into }, signal, onProgress) => {
    if (into !== undefined && !isRepository(into))
      throw new RegistryError('NAME_INVALID', {
        message: `--into ${into} is no part of a repository's name`,
      });
    const origin = fromUrl === undefined ? undefined : openOrigin(fromUrl, parts);
    try {
      const request = {
        from,
        ...(into !== undefined && { into }),
        ...(origin !== undefined && { origin: readOrigin(origin) }),
      };
      const options = {
        log: parts.log,
        store: parts.store,
        holds: parts.holds,
        adoption,
        isHosted: (name: string) => parts.isHosted(name),
        requireWritable: () => parts.requireWritable(),
        now: () => parts.now(),
      };
      return await importFolder(request, options, signal, onProgress);
    } finally {
      await origin?.close();
    }
  };
}

/** Errors: NAME_INVALID for what is no URL. */
function openOrigin(text: string, { logger, now }: FolderImportParts): Origin {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new RegistryError('NAME_INVALID', {
      message: '--from-url is no URL such as http://registry.lan:5000',
    });
  return openUpstream({
    key: url.host,
    url,
    fallbacks: [],
    insecure: false,
    ip: 'any',
    tokenHosts: [],
    maxTransfers: 4,
    timeouts: { connectMs: 3000, firstByteMs: 8000 },
    userAgent: 'cistern',
    observer: ignoring,
    logger,
    now: () => now(),
  });
}

function readOrigin(origin: Origin): ImportOrigin {
  return {
    manifest: (repository, digest, signal) =>
      unlessGone(async () => (await origin.manifest(repository, digest, { signal })).bytes),
    blob: (repository, digest, signal) =>
      unlessGone(async () => (await origin.blobSource(repository, digest).open(0, { signal })).stream),
  };
}

/** Whatever a registry says but the content itself: it isn't to be had there either. */
async function unlessGone<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof UpstreamError || error instanceof RegistryError) return undefined;
    throw error;
  }
}
