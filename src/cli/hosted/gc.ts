/**
 * `cistern gc [--dry-run]`: collects the hosted repositories of the running daemon, and says per repository what goes, why, and how many
 * bytes. Exit code 1 when a repository could not be collected.
 */
import type { GcReport, RepositoryGc } from '../../admin/gc-report.ts';
import { formatBytes } from '../../lib/format.ts';
import { type AdminOptions, withAdmin, writeReport } from '../admin-client.ts';
import { withProgress } from '../terminal/progress-reporter.ts';

/** Resolves with the exit code. */
export function runGc(options: AdminOptions, dryRun: boolean): Promise<number> {
  return withAdmin(options, {
    isChange: !dryRun,
    run: async (admin, signal) => {
      const report = await withProgress(options, 'gc', onProgress =>
        admin.gc({ dryRun }, signal, onProgress),
      );
      writeReport(options, report, describeGc);
      return report.skipped.length === 0 ? 0 : 1;
    },
  });
}

/** Of each repository so many are shown; `--json` has more of them. */
const shownItems = 20;

function describeGc({ dryRun, repositories, skipped, blobs, freedBytes }: GcReport): string {
  const lines = repositories.flatMap(repository => describeRepository(repository, dryRun));
  for (const { repository, reason } of skipped) lines.push(`${repository}: skipped, ${reason}`);
  if (repositories.length === 0) lines.push('every hosted repository needs all that it has');
  const verb = dryRun ? 'would be removed' : 'removed';
  lines.push(`${countOf(blobs, 'file')} ${verb}, ${formatBytes(freedBytes)}`);
  return `${lines.join('\n')}\n`;
}

function describeRepository(
  { repository, manifests, links, bytes, removed }: RepositoryGc,
  dryRun: boolean,
): string[] {
  const counts = [
    ...(manifests > 0 ? [countOf(manifests, 'manifest')] : []),
    ...(links > 0 ? [countOf(links, 'blob')] : []),
  ];
  const verb = dryRun ? 'would lose' : 'lost';
  const lines = [`${repository}: ${verb} ${counts.join(', ')}, ${formatBytes(bytes)}`];
  for (const { name, why, bytes: size } of removed.slice(0, shownItems))
    lines.push(`  ${name}  ${formatBytes(size)}  ${why}`);
  const more = manifests + links - Math.min(removed.length, shownItems);
  if (more > 0) lines.push(`  and ${more} more`);
  return lines;
}

function countOf(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
