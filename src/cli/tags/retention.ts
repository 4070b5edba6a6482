/** `cistern retention --explain`: a line per hosted tag, with the rule of `hosted.retention` that decides over it. */
import type { RetentionOfTag, RetentionReport } from '../../admin/tag-admin.ts';
import { formatTable } from '../../lib/format.ts';
import { type AdminOptions, withAdmin, writeReport } from '../admin-client.ts';

/** Resolves with the exit code. */
export function runRetention(options: AdminOptions): Promise<number> {
  return withAdmin(options, {
    isChange: false,
    run: async (admin, signal) => {
      writeReport(options, await admin.tags.explainRetention(signal), render);
      return 0;
    },
  });
}

function render({ tags }: RetentionReport): string {
  if (tags.length === 0) return 'no hosted repository has a tag\n';
  const rows = tags.map(found => [
    `${found.repository}:${found.tag}`,
    found.keeps ? 'stays' : 'goes',
    found.rule === null ? '-' : `rule ${found.rule}`,
    reasons[found.reason] ?? found.reason,
  ]);
  const going = tags.filter(({ keeps }) => !keeps).length;
  return `${formatTable([['TAG', '', 'DECIDED BY', 'BECAUSE'], ...rows])}${going} of ${tags.length} tags go\n`;
}

const reasons: Readonly<Record<RetentionOfTag['reason'], string>> = {
  'no rule': 'no rule matches',
  immutable: 'it is immutable',
  pinned: 'it is pinned',
  newest: 'it is among the newest',
  pushed: 'it was pushed lately',
  pulled: 'it was pulled lately',
  expired: 'nothing in keep keeps it',
};
