/** Sums by the hour and by the day: an hour that ages becomes a part of its day, and a file read again says the same. */
import { expect, test } from 'vitest';
import { dayMs, hourMs, noSums, sumOf, UsageHistory } from '../../../src/report/usage-history.ts';

const startMs = 20_000 * dayMs;

function copyOf(history: UsageHistory): UsageHistory {
  const copy = new UsageHistory();
  for (const line of JSON.parse(JSON.stringify([...history.lines()]))) expect(copy.apply(line)).toBe(true);
  return copy;
}

const pulls = (history: UsageHistory, sinceMs: number) =>
  history
    .days(sinceMs)
    .map(({ atMs, upstreams }) => [(atMs - startMs) / dayMs, upstreams.get('docker.io')?.pulls]);

test('hours become parts of their days, and no pull is counted twice or lost', () => {
  const history = new UsageHistory();
  for (let hour = 0; hour < 100; hour += 1) {
    history.add(startMs + hour * hourMs, 'docker.io', { pulls: 1 });
    history.age(startMs + hour * hourMs);
  }
  const all = [
    [0, 24],
    [1, 24],
    [2, 24],
    [3, 24],
    [4, 4],
  ];
  expect(pulls(history, startMs)).toEqual(all);
  expect(pulls(copyOf(history), startMs)).toEqual(all);
  expect(pulls(history, startMs + 3 * dayMs)).toEqual(all.slice(3));
  expect(history.hours(startMs)).toHaveLength(50);
  expect(sumOf(history.days(startMs)).get('docker.io')).toEqual({ ...noSums, pulls: 100 });
  history.age(startMs + 402 * dayMs);
  expect(pulls(history, startMs)).toEqual(all.slice(3));
});

test('only what has changed is written, as whole sums: the last line of an hour counts', () => {
  const history = new UsageHistory();
  history.add(startMs, 'docker.io', { pulls: 1, servedBytes: 10 });
  const first = history.takeChanges();
  history.add(startMs + 1, 'docker.io', { pulls: 2 });
  history.add(startMs + 1, 'ghcr.io', { fetchedBytes: 5 });
  const second = history.takeChanges();
  expect([first.length, second.length, history.takeChanges().length]).toEqual([1, 2, 0]);
  const read = new UsageHistory();
  for (const line of [...first, ...second]) read.apply({ ...line });
  const sums = sumOf(read.hours(startMs));
  expect(sums.get('docker.io')).toEqual({ ...noSums, pulls: 3, servedBytes: 10 });
  expect(sums.get('ghcr.io')).toEqual({ ...noSums, fetchedBytes: 5 });
});

test('lines of others and sums that are no numbers do no harm', () => {
  const history = new UsageHistory();
  expect(history.apply({ type: 'fetched' })).toBe(false);
  expect(history.apply({ type: 'hour', upstream: 'a.b', hour: 'x', sums: {} })).toBe(true);
  history.apply({ type: 'hour', upstream: 'a.b', hour: 480_000, sums: { pulls: 'many', hits: 1, odd: 3 } });
  history.apply({ type: 'day', upstream: 'a.b', day: 1, sums: null });
  expect(history.hours(startMs)[0]?.upstreams.get('a.b')).toEqual({ ...noSums, hits: 1 });
});
