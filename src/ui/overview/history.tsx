/** Was it worth it: the hit ratio and the bytes saved, over the period that is chosen. */
import { useMemo } from 'preact/hooks';
import type { HistoryAnswer } from '../../http/api/schema/stats.ts';
import { formatBytes, formatShare } from '../../lib/format.ts';
import { Choice } from '../parts/choice.tsx';
import { Empty, Loaded } from '../parts/loading.tsx';
import { TimePlot } from '../parts/time-plot.tsx';
import { now } from '../state/changes.ts';
import { replaceQuery, route } from '../state/navigation.ts';
import { useResource } from '../state/resource.ts';
import { formatCount, shareOf, splitFigure } from '../text/figures.ts';
import {
  type HistoryPlot,
  type Period,
  periods,
  plotHistory,
  ratioRange,
  savedBytes,
} from '../text/history.ts';

const [firstPeriod = { days: 1, label: '24 hours', stepMs: 900_000 }] = periods;
const shareTicks: readonly number[] = [0.05, 0.1, 0.25, 0.5];
const byteTicks: readonly number[] = Array.from({ length: 50 }, (_, power) => 2 ** power);

export function History() {
  const wanted = Number(route.value.query['days'] ?? firstPeriod.days);
  const period = periods.find(({ days }) => days === wanted) ?? firstPeriod;
  const history = useResource<HistoryAnswer>('history', { days: period.days }, { follows: true });
  return (
    <section class="history" aria-labelledby="history-heading">
      <div class="history-head">
        <h2 id="history-heading">Was it worth it</h2>
        <Choice
          label="Period"
          options={periods.map(({ days, label }) => ({ value: String(days), label }))}
          value={String(period.days)}
          onChoose={days => replaceQuery({ days: days === String(firstPeriod.days) ? '' : days })}
        />
      </div>
      <Loaded of={history} lines={8}>
        {answer => <Plots answer={answer} period={period} />}
      </Loaded>
    </section>
  );
}

function Plots({ answer, period }: { readonly answer: HistoryAnswer; readonly period: Period }) {
  const nowMs = now.value;
  const plot = useMemo(() => plotHistory(answer.samples, period, nowMs), [answer, period.days]);
  const { total } = plot;
  const ratio = shareOf(total.hits, total.requests);
  const saved = savedBytes(total);
  const words = `in ${period.days === 1 ? 'the last 24 hours' : `the last ${period.label}`}`;
  if (total.requests === 0)
    return <Empty title="Nothing was asked in this period.">Plots appear with the first pulls.</Empty>;
  return (
    <>
      <dl class="figures">
        <KeyFigure name="Answered from here" text={formatShare(ratio)} isFirst />
        <KeyFigure name="Saved on the line" text={formatBytes(saved)} />
        <KeyFigure name="Served" text={formatBytes(total.servedBytes)} />
        <KeyFigure name="Fetched" text={formatBytes(total.fetchedBytes)} />
        <KeyFigure name="Requests" text={formatCount(total.requests)} />
      </dl>
      <div class="plots">
        <TimePlot
          title="Hit ratio"
          summary={`Hit ratio ${words}: ${formatShare(ratio)} of ${formatCount(total.requests)} requests${describeRange(plot)}`}
          times={plot.times}
          series={[
            { name: 'answered from here', colour: '--plot-served', values: plot.hitRatio, isFilled: false },
          ]}
          format={value => `${Math.round(100 * value)} %`}
          range={ratioRange(plot)}
          ticks={shareTicks}
        />
        <TimePlot
          title="Bytes"
          summary={`Bytes ${words}: ${formatBytes(total.servedBytes)} served, ${formatBytes(total.fetchedBytes)} fetched, ${formatBytes(saved)} saved`}
          times={plot.times}
          series={[
            { name: 'served', colour: '--plot-served', values: plot.servedBytes, isFilled: true },
            { name: 'fetched', colour: '--plot-fetched', values: plot.fetchedBytes, isFilled: true },
          ]}
          format={formatBytes}
          ticks={byteTicks}
        />
      </div>
    </>
  );
}

interface KeyFigureProps {
  readonly name: string;
  readonly text: string;
  readonly isFirst?: boolean;
}

function KeyFigure({ name, text, isFirst = false }: KeyFigureProps) {
  const { number, unit } = splitFigure(text);
  return (
    <div class={isFirst ? 'figure figure-first' : 'figure'}>
      <dt>{name}</dt>
      <dd>
        {number}
        {unit !== '' && <span class="unit"> {unit}</span>}
      </dd>
    </div>
  );
}

function describeRange({ hitRatio }: HistoryPlot): string {
  const known = hitRatio.filter(ratio => ratio !== null);
  return known.length < 2
    ? ''
    : `, between ${formatShare(Math.min(...known))} and ${formatShare(Math.max(...known))}`;
}
