/**
 * A plot over time on a canvas (uPlot). Its colours come from the page's, its width from its place; both are followed. What it
 * shows is also said: the label sums it up for those who don't see it, and the value under the pointer stands in the caption.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { paintings } from '../state/theme.ts';
import { formatMoment } from '../text/figures.ts';

export interface PlotSeries {
  readonly name: string;
  /** Name of a colour: `--plot-served`. */
  readonly colour: string;
  readonly values: readonly (number | null)[];
  readonly isFilled: boolean;
}

interface TimePlotProps {
  readonly title: string;
  /** Of what the plot as a whole says. */
  readonly summary: string;
  /** Seconds since the epoch. */
  readonly times: readonly number[];
  readonly series: readonly PlotSeries[];
  readonly format: (value: number) => string;
  /** Of the scale; absent: from nothing to a little above the values. */
  readonly range?: readonly [number, number];
  /** The distances of its lines: those of bytes are powers of two. */
  readonly ticks: readonly number[];
}

const height = 168;

export function TimePlot(props: TimePlotProps) {
  const { title, summary, series, times, format } = props;
  const place = useRef<HTMLDivElement>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const painted = paintings.value;
  useEffect(() => {
    const { current } = place;
    if (current === null) return undefined;
    const plot = new uPlot(
      optionsOf(props, current, setPointed),
      [[...times], ...series.map(({ values }) => [...values])],
      current,
    );
    const observer = new ResizeObserver(() => plot.setSize({ width: current.clientWidth, height }));
    observer.observe(current);
    return () => {
      observer.disconnect();
      plot.destroy();
    };
  }, [painted, times]);
  const at = pointed === null ? undefined : times[pointed];
  return (
    <figure class="plot">
      <figcaption>
        <h3>{title}</h3>
        <ul class="plot-key">
          {series.map(({ name, colour, values }) => {
            const value = pointed === null ? null : (values[pointed] ?? null);
            return (
              <li key={name} class={`key${colour}`}>
                {name}
                {value !== null && <strong>{format(value)}</strong>}
              </li>
            );
          })}
          <li class="plot-time">{at === undefined ? '' : formatMoment(new Date(1000 * at).toISOString())}</li>
        </ul>
      </figcaption>
      <div ref={place} class="plot-canvas" role="img" aria-label={summary} />
    </figure>
  );
}

function optionsOf(
  { series, format, range, ticks }: TimePlotProps,
  place: HTMLElement,
  point: (index: number | null) => void,
): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const axis = { stroke: colour('--ink-3'), font: `11.5px ${colour('--text')}`, labelSize: 0 };
  const grid = { stroke: colour('--line'), width: 1 };
  return {
    width: place.clientWidth,
    height,
    padding: [8, 4, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
    scales: {
      y: {
        range: (_plot, _min, highest) =>
          range ? [range[0], range[1]] : [0, highest > 0 ? highest * 1.08 : 1],
      },
    },
    hooks: { setCursor: [plot => point(plot.cursor.idx ?? null)] },
    axes: [
      { ...axis, size: 26, gap: 4, grid: { show: false }, ticks: { ...grid, size: 4 }, values: timeValues },
      {
        ...axis,
        size: 62,
        gap: 8,
        grid,
        ticks: { show: false },
        space: 34,
        incrs: [...ticks],
        values: (_plot, values) => values.map(format),
      },
    ],
    series: [
      {},
      ...series.map(one => ({
        label: one.name,
        stroke: colour(one.colour),
        width: 1.6,
        spanGaps: false,
        points: { show: true, size: 5, fill: colour(one.colour), filter: () => isolated(one.values) },
        ...(one.isFilled && { fill: `${colour(one.colour)}22` }),
      })),
    ],
  };
}

/** Values without a neighbour: no line goes through them, so they are drawn as points. */
function isolated(values: readonly (number | null)[]): number[] {
  return Array.from(values.keys()).filter(
    at => values[at] != null && values[at - 1] == null && values[at + 1] == null,
  );
}

const hourSeconds = 3600;

/** A time of the day between lines less than a day apart, else the day. */
function timeValues(_plot: uPlot, values: number[], _axis: number, _space: number, step: number): string[] {
  return values.map(value => {
    const moment = formatMoment(new Date(1000 * value).toISOString());
    return step < 24 * hourSeconds && !moment.endsWith('00:00') ? moment.slice(11) : moment.slice(5, 10);
  });
}
