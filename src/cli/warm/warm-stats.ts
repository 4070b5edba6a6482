/** The part of `cistern stats` about images that are fetched ahead: a line for each entry of the schedule and for the last commands. */
import type { WarmEntryReport, WarmStats, WarmSummary } from '../../admin/warm-admin.ts';
import { formatBytes, formatTable } from '../../lib/format.ts';

const head = ['WARM', 'STARTED', 'DONE', 'FETCHED', 'STATE'];

export function renderWarmStats({ schedule, runs }: WarmStats): string {
  const nexts = new Map(schedule.map(({ source, nextAt }) => [source, nextAt]));
  const ran = new Set(runs.map(({ source }) => source));
  const rows = [
    ...schedule.filter(({ source }) => !ran.has(source)).map(rowOfEntry),
    ...runs.map(run => rowOfRun(run, nexts.get(run.source) ?? null)),
  ];
  const failures = runs.flatMap(({ failures: failed = [] }) =>
    failed.map(({ image, reason }) => `${image}: ${reason}\n`),
  );
  return formatTable([head, ...rows], [2, 3]) + failures.join('');
}

function rowOfEntry({ source, nextAt }: WarmEntryReport): string[] {
  return [source, '-', '-', '-', nextAt === null ? '' : `next at ${nextAt}`];
}

function rowOfRun(run: WarmSummary, nextAt: string | null): string[] {
  const { source, startedAt, images, results, fetchedBytes } = run;
  const next = nextAt === null ? '' : `, next at ${nextAt}`;
  const done = `${images - results.waiting} of ${images}`;
  return [source, startedAt, done, formatBytes(fetchedBytes), `${describeState(run)}${next}`];
}

function describeState({ endedAt, results, waiting }: WarmSummary): string {
  const failed = results.failed === 0 ? [] : [`${results.failed} failed`];
  if (endedAt !== null) return ['done', ...failed].join(', ');
  const waits = waiting.map(({ message }) => message);
  return [...(waits.length === 0 ? ['runs'] : waits), ...failed].join(', ');
}
