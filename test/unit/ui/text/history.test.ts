/** Samples of the past in steps of one length, for the plots. */
import { expect, it } from 'vitest';
import type { HistorySample } from '../../../../src/http/api/schema/stats.ts';
import { periods, plotHistory, ratioRange, savedBytes } from '../../../../src/ui/text/history.ts';

const [day = { days: 1, label: '', stepMs: 900_000 }] = periods;
const nowMs = Date.parse('2026-11-27T12:07:00Z');

function sampleAt(at: string, requests: number, hits: number): HistorySample {
  return { at, requests, hits, servedBytes: 100 * requests, upstreamBytes: 100 * (requests - hits) };
}

it('sums the samples of each step, and has a step for each quarter of an hour', () => {
  const plot = plotHistory(
    [
      sampleAt('2026-11-26T12:00:00Z', 7, 7), // before the period
      sampleAt('2026-11-27T12:01:00Z', 4, 1),
      sampleAt('2026-11-27T12:06:00Z', 4, 3),
      sampleAt('2026-11-27T11:59:00Z', 10, 9),
    ],
    day,
    nowMs,
  );
  expect(plot.times).toHaveLength(96);
  expect(plot.times.at(-1)).toBe(Date.parse('2026-11-27T12:00:00Z') / 1000);
  expect(plot.hitRatio.slice(-3)).toEqual([null, 0.9, 0.5]);
  expect(plot.servedBytes.slice(-3)).toEqual([0, 1000, 800]);
  expect(plot.fetchedBytes.slice(-3)).toEqual([0, 100, 400]);
  expect(plot.total).toEqual({ requests: 18, hits: 13, servedBytes: 1800, fetchedBytes: 500 });
  expect(savedBytes(plot.total)).toBe(1300);
});

it('never saves less than nothing', () => {
  expect(savedBytes({ requests: 1, hits: 0, servedBytes: 1, fetchedBytes: 5 })).toBe(0);
});

it.each(periods)('has at most 100 steps in $label', period => {
  const { times } = plotHistory([], period, nowMs);
  expect(times.length).toBeGreaterThan(25);
  expect(times.length).toBeLessThanOrEqual(100);
});

it.each([
  [[0.99, null, 0.97], 0.8],
  [[0.99, 0.7], 0.5],
  [[0.99, 0.2], 0],
  [[null], 0.8],
])('begins the scale of %j at %d', (hitRatio, begin) => {
  const total = { requests: 0, hits: 0, servedBytes: 0, fetchedBytes: 0 };
  expect(ratioRange({ times: [], hitRatio, servedBytes: [], fetchedBytes: [], total })).toEqual([begin, 1]);
});
