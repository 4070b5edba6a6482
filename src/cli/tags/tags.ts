/**
 * `cistern history`, `restore`, `promote` and `retention --explain`: ask the daemon or the store, and print what tags are, were or will be.
 * Each resolves with the exit code.
 */
import type {
  HistoryReport,
  PromoteReport,
  ReportedMove,
  RestoreReport,
  RetentionOfTag,
  RetentionReport,
} from '../../admin/tag-admin.ts';
import { formatBytes, formatTable } from '../../lib/format.ts';
import { type AdminOptions, withAdmin, writeReport } from '../admin-client.ts';
import { CommandError } from '../command-line.ts';

/** Where the tag of a hosted or mirrored repository pointed to, the newest move first. */
export function runHistory(options: AdminOptions, image: string): Promise<number> {
  return withAdmin(options, {
    isChange: false,
    run: async (admin, signal) => {
      writeReport(options, await admin.tags.history(image, signal), renderHistory);
      return 0;
    },
  });
}

/** Which tags point where now, and what came back. Times without a zone are local ones. */
export function runRestore(
  options: AdminOptions,
  image: string,
  { digest, at }: { readonly digest: string | undefined; readonly at: string | undefined },
): Promise<number> {
  return withAdmin(options, {
    isChange: true,
    run: async (admin, signal) => {
      const wanted = {
        ...(digest !== undefined && { digest: digest.replace(/^@/, '') }),
        ...(at !== undefined && { at: parseTime(at) }),
      };
      writeReport(options, await admin.tags.restore(image, wanted, { signal }), renderRestore);
      return 0;
    },
  });
}

/** What the hosted tag is now, and how many bytes had to be fetched for it. Ctrl-C ends it; what was fetched stays in the cache. */
export function runPromote(
  options: AdminOptions,
  from: string,
  to: string,
  platforms: readonly string[],
): Promise<number> {
  return withAdmin(options, {
    isChange: true,
    run: async (admin, signal) => {
      writeReport(options, await admin.tags.promote(from, to, platforms, { signal }), renderPromotion);
      return 0;
    },
  });
}

/** A line per hosted tag, with the rule of `hosted.retention` that decides over it. */
export function runRetention(options: AdminOptions): Promise<number> {
  return withAdmin(options, {
    isChange: false,
    run: async (admin, signal) => {
      writeReport(options, await admin.tags.explainRetention(signal), renderRetention);
      return 0;
    },
  });
}

function renderHistory({ image, hosted, moves }: HistoryReport): string {
  const rows = moves.map(move => [
    move.at,
    move.digest ?? 'gone',
    describeContent(move),
    move.user ?? '',
    move.how ?? '',
  ]);
  const table = formatTable([['SINCE', 'DIGEST', 'CONTENT', 'USER', 'HOW'], ...rows]);
  return `${image}${hosted ? '' : ', as this mirror saw it'}\n${table}`;
}

function describeContent({ content }: ReportedMove): string {
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

/** In ISO 8601. Errors: `CommandError`. */
function parseTime(text: string): string {
  const ms = Date.parse(text);
  if (Number.isNaN(ms))
    throw new CommandError(`expected a time such as 2026-11-27T10:00, got ${text}`, 'USAGE');
  return new Date(ms).toISOString();
}

function renderRestore({ image, digest, tags, undeleted }: RestoreReport): string {
  const lines = tags.map(({ tag, from }) =>
    from === null
      ? `${tag} points to ${digest} again`
      : `${tag} points to ${digest}, and no longer to ${from}`,
  );
  if (undeleted.length > 0) lines.push(`restored manifests: ${undeleted.join(', ')}`);
  if (lines.length === 0) lines.push(`nothing to do: it is ${digest}`);
  return lines.map(line => `${image}: ${line}\n`).join('');
}

function renderPromotion(report: PromoteReport): string {
  const { from, to, digest, previous, manifests, blobs, linkedBytes, fetchedBytes } = report;
  const before = previous === null || previous === digest ? '' : `, before: ${previous}`;
  const parts = `${manifests} ${manifests === 1 ? 'manifest' : 'manifests'}, ${blobs} ${blobs === 1 ? 'blob' : 'blobs'}`;
  const fetched = fetchedBytes === 0 ? 'nothing fetched' : `${formatBytes(fetchedBytes)} fetched`;
  return `${to}: ${digest}${before}\nfrom ${from}: ${parts}, ${formatBytes(linkedBytes)} new here, ${fetched}\n`;
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

function renderRetention({ tags }: RetentionReport): string {
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
