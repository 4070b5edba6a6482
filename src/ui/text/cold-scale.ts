/** Where a blob stands in the picture of what is cold: its age from left to right, its size from below. Both scales are logarithmic. Pure functions. */
import { formatBytes } from '../../lib/format.ts';

export interface Scale {
  /** 0 … 1. Values outside stand at its ends. */
  at(value: number): number;
  readonly ticks: readonly Tick[];
}

export interface Tick {
  readonly at: number;
  readonly label: string;
}

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const ages: readonly (readonly [number, string])[] = [
  [minuteMs, '1 min'],
  [hourMs, '1 h'],
  [dayMs, '1 day'],
  [7 * dayMs, '1 week'],
  [30 * dayMs, '1 month'],
  [365 * dayMs, '1 year'],
];

/** Each line is 32 times the one below: 1 KiB, 32 KiB, 1 MiB, … */
const sizeStep = 32;
const smallestBytes = 1024;

/** From the mark below the youngest to the mark above the oldest, so that few blobs of one age still have a scale. */
export function ageScale(agesMs: readonly number[]): Scale {
  const marks = ages.map(([ms]) => ms);
  const youngest = Math.min(...agesMs);
  const oldest = Math.max(...agesMs);
  const from = marks.findLast(ms => ms <= youngest) ?? minuteMs / 6;
  const to = marks.find(ms => ms >= oldest && ms > from) ?? 3 * 365 * dayMs;
  return logarithmic(from, to, ages);
}

export function sizeScale(sizes: readonly number[]): Scale {
  const largest = Math.max(...sizes, smallestBytes * sizeStep);
  const marks: (readonly [number, string])[] = [];
  let mark = smallestBytes;
  while (mark < largest) {
    marks.push([mark, formatBytes(mark)]);
    mark *= sizeStep;
  }
  return logarithmic(smallestBytes, largest * 1.5, marks);
}

/** The last one, and of the others those that are so far from the one that was kept before: narrow pictures have fewer. */
export function spacedTicks(ticks: readonly Tick[], gap: number): readonly Tick[] {
  const kept: Tick[] = [];
  for (const tick of ticks.toReversed()) {
    const before = kept[0];
    if (before === undefined || before.at - tick.at >= gap) kept.unshift(tick);
  }
  return kept;
}

function logarithmic(from: number, to: number, marks: readonly (readonly [number, string])[]): Scale {
  const span = Math.log(to / from);
  const at = (value: number) => Math.min(1, Math.max(0, Math.log(Math.max(value, from) / from) / span));
  const inside = marks.filter(([value]) => value >= from && value <= to);
  return { at, ticks: inside.map(([value, label]) => ({ at: at(value), label })) };
}
