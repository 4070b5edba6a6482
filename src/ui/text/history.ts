/** Samples of the past as the plots need them: in steps of one length, without gaps, few enough to be read. Pure functions. */
import type { HistorySample } from '../../http/api/schema/stats.ts';

export interface Period {
  readonly days: number;
  readonly label: string;
  /** Of one step of the plots. */
  readonly stepMs: number;
}

const hourMs = 3_600_000;

export const periods: readonly Period[] = [
  { days: 1, label: '24 hours', stepMs: hourMs / 4 },
  { days: 7, label: '7 days', stepMs: 2 * hourMs },
  { days: 30, label: '30 days', stepMs: 24 * hourMs },
  { days: 365, label: '1 year', stepMs: 7 * 24 * hourMs },
];

export interface HistoryPlot {
  /** Where each step begins: seconds since the epoch, ascending. */
  readonly times: readonly number[];
  /** 0 … 1; null: nothing was asked in that step. */
  readonly hitRatio: readonly (number | null)[];
  readonly servedBytes: readonly number[];
  readonly fetchedBytes: readonly number[];
  readonly total: HistoryTotal;
}

export interface HistoryTotal {
  readonly requests: number;
  readonly hits: number;
  readonly servedBytes: number;
  readonly fetchedBytes: number;
}

/** The steps from the first one that the period has to the one that `nowMs` is in. */
export function plotHistory(
  samples: readonly HistorySample[],
  { days, stepMs }: Period,
  nowMs: number,
): HistoryPlot {
  const last = Math.floor(nowMs / stepMs);
  const first = Math.floor((nowMs - days * 24 * hourMs) / stepMs) + 1;
  const steps = Array.from({ length: last - first + 1 }, () => ({
    requests: 0,
    hits: 0,
    servedBytes: 0,
    fetchedBytes: 0,
  }));
  for (const { at, requests, hits, servedBytes, upstreamBytes } of samples) {
    const step = steps[Math.floor(Date.parse(at) / stepMs) - first];
    if (step === undefined) continue; // older than the period: a day's sum may begin before it
    step.requests += requests;
    step.hits += hits;
    step.servedBytes += servedBytes;
    step.fetchedBytes += upstreamBytes;
  }
  return {
    times: steps.map((_, index) => ((first + index) * stepMs) / 1000),
    hitRatio: steps.map(({ requests, hits }) => (requests === 0 ? null : hits / requests)),
    servedBytes: steps.map(({ servedBytes }) => servedBytes),
    fetchedBytes: steps.map(({ fetchedBytes }) => fetchedBytes),
    total: {
      requests: total(steps.map(({ requests }) => requests)),
      hits: total(steps.map(({ hits }) => hits)),
      servedBytes: total(steps.map(({ servedBytes }) => servedBytes)),
      fetchedBytes: total(steps.map(({ fetchedBytes }) => fetchedBytes)),
    },
  };
}

/** Bytes that didn't come over the line. Never less than none: what is fetched and not served again, as by `warm`, comes first. */
export function savedBytes({ servedBytes, fetchedBytes }: HistoryTotal): number {
  return Math.max(0, servedBytes - fetchedBytes);
}

/** Where the scale of the hit ratio begins: low enough for all values, high enough to tell 97 % from 99 %. */
export function ratioRange({ hitRatio }: HistoryPlot): readonly [number, number] {
  const lowest = Math.min(...hitRatio.map(ratio => ratio ?? 1));
  const begin = [0.8, 0.5].find(one => lowest >= one + 0.05) ?? 0;
  return [begin, 1];
}

function total(amounts: readonly number[]): number {
  return amounts.reduce((sum, amount) => sum + amount, 0);
}
