/**
 * `cistern repair [REPOSITORY]`: rebuilds the damaged log of a hosted repository, and says what is lost. Exit code 1 when
 * something may be lost, so that a script notices.
 */
import type { RepairReport, RepositoryRepair } from '../admin/admin.ts';
import { type AdminOptions, withAdmin, writeReport } from './admin-client.ts';

/** Resolves with the exit code. */
export function runRepair(options: AdminOptions, repository: string | undefined): Promise<number> {
  return withAdmin(options, {
    isChange: true,
    run: async (admin, signal) => {
      const report = await admin.repair(repository, signal);
      writeReport(options, report, describeRepairs);
      return report.repairs.every(isWhole) ? 0 : 1;
    },
  });
}

function describeRepairs({ repairs }: RepairReport): string {
  if (repairs.length === 0) return 'no hosted repository has a damaged log\n';
  return repairs.map(describeRepair).join('');
}

function describeRepair(repair: RepositoryRepair): string {
  const { repository, manifests, tags, found, lostTags, doubtfulTags, mayMissTags, damagedLog } = repair;
  const lines = [`${repository}: open again, with ${manifests} manifests and ${tags} tags`];
  if (found.length > 0) lines.push(`found in the store, without their tags: ${found.join(', ')}`);
  if (lostTags.length > 0) lines.push(`lost tags: ${lostTags.join(', ')}`);
  if (doubtfulTags.length > 0) lines.push(`tags that may have pointed elsewhere: ${doubtfulTags.join(', ')}`);
  if (mayMissTags) lines.push('lines are lost that name no tag: further tags may be missing');
  if (isWhole(repair)) lines.push('nothing is lost');
  return `${[...lines, `the damaged log is ${damagedLog}`].join('\n  ')}\n`;
}

function isWhole({ found, lostTags, doubtfulTags, mayMissTags }: RepositoryRepair): boolean {
  return found.length + lostTags.length + doubtfulTags.length === 0 && !mayMissTags;
}
