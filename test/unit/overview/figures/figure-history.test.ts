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
  const { step, samples } = history.of(1, start + 200_000);
  expect(step).toBe('minute');
  expect(
    samples.map(({ at, requests, hits, servedBytes }) => [at.slice(11, 16), requests, hits, servedBytes]),
  ).toEqual([
    ['00:00', 4, 2, 40],
    ['00:01', 6, 3, 60],
    ['00:03', 2, 1, 20],
  ]);
});

test('a day is kept by the minute, sixty days by the hour, and no more', () => {
  const history = new FigureHistory();
  const minutes = 70 * 24 * 60;
  for (let at = 0; at < minutes; at += 10) history.note(start + at * minuteMs, sums(at + 10));
  const nowMs = start + minutes * minuteMs;
  expect(history.of(1, nowMs).samples).toHaveLength(144);
  const hours = history.of(400, nowMs);
  expect([hours.step, hours.samples.length]).toEqual(['hour', 60 * 24]);
  expect(hours.samples.every(({ requests }) => requests === 60)).toBe(true);
});
