import { expect, test } from 'vitest';
import { FigureHistory } from '../../../../src/overview/figures/figure-history.ts';

const start = Date.UTC(2026, 0, 1);
const minuteMs = 60_000;

function sums(requests: number) {
  return { requests, hits: requests / 2, servedBytes: 10 * requests, upstreamBytes: requests };
}

test('what grew within a minute is one sample; minutes without a request have none', () => {
  const history = new FigureHistory();
  for (const [seconds, requests] of [
    [0, 2],
    [30, 4],
    [60, 10],
    [120, 10],
    [200, 12],
  ] as const)
    history.note(start + seconds * 1000, sums(requests));
  const samples = history.since(start);
  expect(
    samples.map(({ at, requests, hits, servedBytes }) => [at.slice(11, 16), requests, hits, servedBytes]),
  ).toEqual([
    ['00:00', 4, 2, 40],
    ['00:01', 6, 3, 60],
    ['00:03', 2, 1, 20],
  ]);
});

test('a day is kept, and no more', () => {
  const history = new FigureHistory();
  for (let at = 0; at < 3 * 24 * 60; at += 1) history.note(start + at * minuteMs, sums(2 * (at + 1)));
  const samples = history.since(0);
  expect([samples.length, samples[0]?.at]).toEqual([24 * 60, '2026-01-03T00:00:00.000Z']);
  expect(samples.every(({ requests }) => requests === 2)).toBe(true);
  expect(history.since(start + 3 * 24 * 60 * minuteMs - 10 * minuteMs)).toHaveLength(10);
});
