/** `cistern history IMAGE`: where the tag of a hosted or mirrored repository pointed to, the newest move first. */
import type { HistoryReport, ReportedMove } from '../../admin/tag-admin.ts';
import { formatTable } from '../../lib/format.ts';
import { type AdminOptions, withAdmin, writeReport } from '../admin-client.ts';

/** Resolves with the exit code. */
export function runHistory(options: AdminOptions, image: string): Promise<number> {
  return withAdmin(options, {
    isChange: false,
    run: async (admin, signal) => {
      writeReport(options, await admin.tags.history(image, signal), render);
      return 0;
    },
  });
}

function render({ image, hosted, moves }: HistoryReport): string {
  const rows = moves.map(move => [
    move.at,
    move.digest ?? 'gone',
    describe(move),
    move.user ?? '',
    move.how ?? '',
  ]);
  const table = formatTable([['SINCE', 'DIGEST', 'CONTENT', 'USER', 'HOW'], ...rows]);
  return `${image}${hosted ? '' : ', as this mirror saw it'}\n${table}`;
}

function describe({ content }: ReportedMove): string {
  switch (content) {
    case 'held':
      return 'here';
    case 'deleted':
      return 'deleted, can be restored';
    case 'gone':
      return 'not here';
    case null:
      return '';
  }
}
