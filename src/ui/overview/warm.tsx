/** What was fetched ahead: the schedule with its next runs, the last run of each entry, and the last commands. */
import type { StatsAnswer } from '../../http/api/schema/stats.ts';
import { formatBytes } from '../../lib/format.ts';
import { State, type Tone } from '../parts/notice.tsx';
import { Section } from '../parts/section.tsx';
import { now } from '../state/changes.ts';
import { formatCount, formatCounted, formatLast, formatMoment, formatUntil } from '../text/figures.ts';

type WarmFigures = NonNullable<NonNullable<StatsAnswer['daemon']>['warm']>;
type WarmRun = WarmFigures['runs'][number];

export function Warmed({ warm }: { readonly warm: WarmFigures | undefined }) {
  if (warm === undefined || warm.schedule.length + warm.runs.length === 0) return null;
  return (
    <Section title="Warmed" note="Fetched before a client asks, within the pull limit.">
      <ul class="transfers">
        {warm.runs.map(run => (
          <li key={`${run.source} ${run.startedAt}`} class="transfer">
            <Run
              run={run}
              nextAt={warm.schedule.find(({ source }) => source === run.source)?.nextAt ?? null}
            />
          </li>
        ))}
        {warm.schedule
          .filter(({ source }) => warm.runs.every(run => run.source !== source))
          .map(({ source, nextAt }) => (
            <li key={source} class="transfer">
              <p class="transfer-name">{source}</p>
              <p class="transfer-figures">
                <span>not run yet</span>
                <span>{describeNext(nextAt)}</span>
              </p>
            </li>
          ))}
      </ul>
    </Section>
  );
}

function Run({ run, nextAt }: { readonly run: WarmRun; readonly nextAt: string | null }) {
  const { source, startedAt, endedAt, images, results, fetchedBytes, waiting } = run;
  const { tone, word } = stateOf(run);
  return (
    <>
      <p class="transfer-name">{source === 'command' ? 'By command' : source}</p>
      <p class="transfer-figures">
        <State tone={tone}>{word}</State>
        <span>{formatCounted(images, 'image')}</span>
        <span>
          {results.fetched > 0 && `${formatCount(results.fetched)} fetched, ${formatBytes(fetchedBytes)}`}
        </span>
        <span>{results.held > 0 && `${formatCount(results.held)} held before`}</span>
        <span>{results.failed > 0 && `${formatCount(results.failed)} failed`}</span>
        <span title={formatMoment(endedAt ?? startedAt)}>
          {endedAt === null ? `began ${formatLast(startedAt, now.value)}` : formatLast(endedAt, now.value)}
        </span>
        <span>{describeNext(nextAt)}</span>
      </p>
      {waiting.map(({ upstream, message, until }) => (
        <p key={upstream} class="quiet">
          {message}, goes on {formatUntil(until, now.value)}
        </p>
      ))}
    </>
  );
}

function stateOf({ endedAt, results, waiting }: WarmRun): { readonly tone: Tone; readonly word: string } {
  if (endedAt === null)
    return waiting.length > 0 ? { tone: 'warn', word: 'waits' } : { tone: 'note', word: 'runs' };
  return results.failed > 0 ? { tone: 'warn', word: 'done, in part' } : { tone: 'good', word: 'done' };
}

function describeNext(nextAt: string | null): string {
  return nextAt === null ? '' : `next ${formatUntil(nextAt, now.value)}`;
}
