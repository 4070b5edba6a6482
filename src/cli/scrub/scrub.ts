/**
 * `cistern scrub`: has the daemon compare what is held with its digests, or does so itself where none runs. Exit code 1 while a hosted file
 * is damaged. It can be stopped: the next run goes on where this one was.
 */

import { formatBytes } from '../../lib/format.ts';
import type { ScrubDamage, ScrubFinding, ScrubReport } from '../../registry/scrub-report.ts';
import { type AdminOptions, withAdmin, writeReport } from '../admin-client.ts';
import { withProgress } from '../terminal/progress-reporter.ts';

export interface ScrubCommand extends AdminOptions {
  readonly bytesPerSecond?: number;
  readonly signal: AbortSignal;
}

/** Resolves with the exit code. */
export function runScrub(options: ScrubCommand): Promise<number> {
  const { bytesPerSecond, signal } = options;
  const wanted = bytesPerSecond === undefined ? {} : { bytesPerSecond };
  const done = withAdmin(options, {
    isChange: true,
    run: async admin => {
      const report = await withProgress(options, 'scrub', onProgress =>
        admin.scrub(wanted, signal, onProgress),
      );
      writeReport(options, report, describeScrub);
      return report.damaged.length === 0 ? 0 : 1;
    },
  });
  return done.catch((error: unknown) => {
    if (!signal.aborted) throw error;
    options.writeError('stopped: the next run goes on from here\n');
    return 1;
  });
}

/** So many are shown; `--json` has more of them. */
const shownFindings = 50;

function describeScrub({ resumed, files, bytes, findings, damaged }: ScrubReport): string {
  const kept = findings.filter(({ result }) => result !== 'kept');
  const lines = kept.slice(0, shownFindings).map(describeFinding);
  if (kept.length > shownFindings) lines.push(`and ${kept.length - shownFindings} more`);
  const since = resumed ? ', after where an earlier run was ended' : '';
  lines.push(`${files} file${files === 1 ? '' : 's'} compared, ${formatBytes(bytes)}${since}`);
  if (damaged.length > 0) {
    lines.push('', 'DAMAGED, and only a push can mend it:');
    lines.push(...damaged.slice(0, shownFindings).map(describeDamage));
    if (damaged.length > shownFindings) lines.push(`  and ${damaged.length - shownFindings} more`);
  }
  return `${lines.join('\n')}\n`;
}

const results = {
  fetched: 'fetched again',
  restored: 'written again from memory',
  'set-aside': 'set aside',
  kept: 'kept',
} as const;

function describeFinding({ digest, repositories, problem, result, reason }: ScrubFinding): string {
  const why = reason === null ? '' : ` (not fetched again: ${reason})`;
  return `${digest}: ${problem}, ${results[result]}${why}${namesOf(repositories)}`;
}

function describeDamage({ digest, problem, repositories, foundAt }: ScrubDamage): string {
  return `  ${digest}: ${problem}, found ${foundAt}${namesOf(repositories)}`;
}

function namesOf(repositories: readonly string[]): string {
  return repositories.length === 0 ? '' : `, of ${repositories.join(', ')}`;
}
