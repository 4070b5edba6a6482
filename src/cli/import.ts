/**
 * `cistern import --from DIR`: moves the storage folder of another registry in, through the daemon where one runs. The folder is
 * only read, and the command can be stopped and run again.
 */
import { resolve } from 'node:path';
import type { ImportReport } from '../admin/admin.ts';
import { formatBytes } from '../lib/format.ts';
import { type AdminOptions, withAdmin, writeReport } from './admin-client.ts';
import { withProgress } from './terminal/progress-reporter.ts';

export interface ImportCommand extends AdminOptions {
  readonly from: string;
  readonly fromUrl?: string;
  readonly into?: string;
  readonly signal: AbortSignal;
}

/** Resolves with the exit code: 0 also where something was skipped, which is listed. */
export function runImport(options: ImportCommand): Promise<number> {
  const { cwd, from, fromUrl, into, signal } = options;
  const request = {
    from: resolve(cwd, from),
    ...(fromUrl !== undefined && { fromUrl }),
    ...(into !== undefined && { into }),
  };
  const done = withAdmin(options, {
    isChange: true,
    makesStore: true,
    run: async admin => {
      const report = await withProgress(options, 'import', onProgress =>
        admin.importFolder(request, signal, onProgress),
      );
      if (options.json !== true)
        for (const { repository, reference, reason } of report.skipped)
          options.writeError(`not imported: ${formatName(repository, reference)}: ${reason}\n`);
      writeReport(options, report, formatReport);
      return 0;
    },
  });
  return done.catch((error: unknown) => {
    if (!signal.aborted) throw error;
    options.writeError('stopped: the same command goes on with what is not here yet\n');
    return 1;
  });
}

function formatName(repository: string, reference: string | null): string {
  if (reference === null) return repository;
  return `${repository}${reference.includes(':') ? '@' : ':'}${reference}`;
}

function formatReport(report: ImportReport): string {
  const { repositories, manifests, tags, blobs, bytes, mergedReferrerTags, skipped } = report;
  const ways = [
    [blobs.reflink, 'reflinked'],
    [blobs.hardlink, 'hard-linked'],
    [blobs.copy, 'copied'],
    [blobs.fetched, 'fetched'],
    [blobs.present, 'in the store already'],
  ] as const;
  const lines = [
    `${count(repositories, 'repository', 'repositories')} of ${report.source}`,
    `manifests: ${manifests.imported} imported, ${manifests.present} here already`,
    `tags: ${tags.imported} imported, ${tags.present} here already`,
    `blobs: ${
      ways
        .filter(([number]) => number > 0)
        .map(([number, how]) => `${number} ${how}`)
        .join(', ') || 'none'
    }; ${formatBytes(bytes)} verified`,
    ...(mergedReferrerTags === 0
      ? []
      : [`${count(mergedReferrerTags, 'tag', 'tags')} of referrers merged into the images' own lists`]),
    ...(skipped.length === 0 ? [] : [`not imported: ${skipped.length}, listed above`]),
  ];
  return `${lines.join('\n')}\n`;
}

function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}
