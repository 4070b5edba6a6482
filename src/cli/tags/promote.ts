/** `cistern promote IMAGE HOSTED-IMAGE`: says what the hosted tag is now, and how many bytes had to be fetched for it. */
import type { PromoteReport } from '../../admin/tag-admin.ts';
import { formatBytes } from '../../lib/format.ts';
import { type AdminOptions, withAdmin, writeReport } from '../admin-client.ts';

/** Ctrl-C ends it; what was fetched stays in the cache. Resolves with the exit code. */
export function runPromote(
  options: AdminOptions,
  from: string,
  to: string,
  platforms: readonly string[],
): Promise<number> {
  return withAdmin(options, {
    isChange: true,
    run: async (admin, signal) => {
      writeReport(options, await admin.tags.promote(from, to, platforms, signal), render);
      return 0;
    },
  });
}

function render(report: PromoteReport): string {
  const { from, to, digest, previous, manifests, blobs, linkedBytes, fetchedBytes } = report;
  const before = previous === null || previous === digest ? '' : `, before: ${previous}`;
  const parts = `${manifests} ${manifests === 1 ? 'manifest' : 'manifests'}, ${blobs} ${blobs === 1 ? 'blob' : 'blobs'}`;
  const fetched = fetchedBytes === 0 ? 'nothing fetched' : `${formatBytes(fetchedBytes)} fetched`;
  return `${to}: ${digest}${before}\nfrom ${from}: ${parts}, ${formatBytes(linkedBytes)} new here, ${fetched}\n`;
}
