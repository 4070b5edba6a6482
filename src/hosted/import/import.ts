/**
 * `cistern import --from DIR`: the repositories of a distribution storage folder, one after the other, into this registry. What can't
 * be imported is listed. The folder is only read, and its registry may go on meanwhile: another run brings what is new.
 */
import type { BlobHolds } from '../../content/blob-holds.ts';
import { RegistryError } from '../../oci/error.ts';
import { isRepository } from '../../oci/name.ts';
import type { BlobStore } from '../../store/blobs/blob-store.ts';
import { DistributionFolder } from '../../store/import/distribution-folder.ts';
import type { FileAdoption } from '../../store/import/file-adoption.ts';
import type { OnProgress } from '../../telemetry/progress.ts';
import type { HostedLog } from '../log/hosted-log.ts';
import { type ImportOrigin, type ImportReport, ImportTally } from './import-report.ts';
import { RepositoryImport } from './repository-import.ts';

export interface FolderImportOptions {
  readonly log: HostedLog;
  readonly store: Pick<BlobStore, 'put'>;
  readonly adoption: Pick<FileAdoption, 'adopt' | 'store'>;
  readonly holds: BlobHolds;
  /** By `hosted.repositories`. */
  isHosted(name: string): boolean;
  /** Errors: UNAVAILABLE while the registry is read-only. */
  requireWritable(): void;
  now(): number;
}

export interface FolderImportRequest {
  /** Absolute: what `rootdirectory` of the other registry names. */
  readonly from: string;
  /** Put before each name: `old` makes `old/team/app` of `team/app`. */
  readonly into?: string;
  readonly origin?: ImportOrigin;
}

/** Errors: NAME_UNKNOWN for a folder without repositories; UNAVAILABLE, `StoreError`, those of the file system; the signal's reason. */
export async function importFolder(
  { from, into, origin }: FolderImportRequest,
  options: FolderImportOptions,
  signal: AbortSignal,
  onProgress?: OnProgress,
): Promise<ImportReport> {
  options.requireWritable();
  const folder = await DistributionFolder.find(from);
  if (folder === undefined)
    throw new RegistryError('NAME_UNKNOWN', {
      message: `${from} is no storage folder of a distribution registry: it has no folder docker/registry/v2 with repositories`,
    });
  const tally = new ImportTally(onProgress);
  const names: string[] = [];
  for await (const name of folder.repositories()) names.push(name);
  tally.found = names.length;
  const parts = { ...options, now: () => options.now(), folder, origin, tally, signal };
  for (const name of names) {
    signal.throwIfAborted();
    const target = into === undefined ? name : `${into}/${name}`;
    if (!isRepository(name) || !isRepository(target)) tally.skip(name, null, 'its name is not allowed');
    else if (!options.isHosted(target)) tally.skip(name, null, `hosted.repositories does not have ${target}`);
    else {
      await new RepositoryImport(name, target, parts).run();
      tally.repositories += 1;
    }
  }
  return tally.report(folder.path);
}
