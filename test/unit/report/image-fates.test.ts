/** Images that were pulled once, blobs that were evicted too early, pulls that failed offline: noted, read again, and bounded. */
import { expect, test } from 'vitest';
import { ImageFates } from '../../../src/report/image-fates.ts';
import { dayMs } from '../../../src/report/usage-history.ts';
import type { UsageNotes } from '../../../src/telemetry/usage.ts';

const nowMs = 20_000 * dayMs;
const nothing: UsageNotes = { pulled: [], blobs: [], failed: [] };
const digest = (number: number) =>
  `sha256:${number.toString(16).padStart(64, '0').split('').reverse().join('')}`;
const pull = (number: number, isFetched: boolean, isPulledAgain: boolean) => ({
  digest: digest(number),
  repository: 'docker.io/library/app',
  isFetched,
  isPulledAgain,
});

function copyOf(fates: ImageFates): ImageFates {
  const copy = new ImageFates();
  for (const line of fates.lines()) copy.apply({ ...line });
  return copy;
}

test('an image is pulled once until another client has it, in the same minute or later', () => {
  const fates = new ImageFates();
  fates.note(
    { ...nothing, pulled: [pull(1, true, false), pull(2, true, true), pull(3, false, true)] },
    nowMs,
  );
  fates.note({ ...nothing, pulled: [pull(4, true, false)] }, nowMs + 1);
  expect(fates.fetchedOnce(0).map(image => image.digest)).toEqual([digest(1), digest(4)]);
  expect(fates.fetchedOnce(nowMs + 1)).toHaveLength(1);
  fates.note({ ...nothing, pulled: [pull(1, false, true)] }, nowMs + 2);
  for (const known of [fates, copyOf(fates)])
    expect(known.fetchedOnce(0)).toEqual([
      { digest: digest(4), repository: 'docker.io/library/app', atMs: nowMs + 1 },
    ]);
  const read = new ImageFates();
  for (const line of fates.takeChanges()) read.apply({ ...line });
  expect(read.fetchedOnce(0)).toEqual(fates.fetchedOnce(0));
  expect(fates.takeChanges()).toEqual([]);
});

test('what is downloaded within a week of its eviction was evicted too early, in the order of both', () => {
  const fates = new ImageFates();
  const evicted = (number: number, evictedBytes: number) => ({ digest: digest(number), evictedBytes });
  const download = (number: number) => ({ digest: digest(number), upstream: 'docker.io' });
  expect(fates.note({ ...nothing, blobs: [download(1), evicted(1, 10), evicted(2, 20)] }, nowMs)).toEqual([]);
  const later = copyOf(fates);
  expect(later.note({ ...nothing, blobs: [download(1), download(1)] }, nowMs + 7 * dayMs)).toEqual([
    { upstream: 'docker.io', bytes: 10 },
  ]);
  expect(later.note({ ...nothing, blobs: [download(2)] }, nowMs + 7 * dayMs + 1)).toEqual([]);
  expect(fates.note({ ...nothing, blobs: [evicted(3, 30), download(3)] }, nowMs)).toHaveLength(1);
});

test('failures add up by name, the last first', () => {
  const fates = new ImageFates();
  const failed = (reference: string, times: number) => ({ repository: 'ghcr.io/a/b', reference, times });
  fates.note({ ...nothing, failed: [failed('v1', 2), failed('v2', 1)] }, nowMs);
  fates.note({ ...nothing, failed: [failed('v1', 3)] }, nowMs + 5);
  expect(copyOf(fates).failed(0)).toEqual([
    { ...failed('v1', 5), atMs: nowMs + 5 },
    { ...failed('v2', 1), atMs: nowMs },
  ]);
  expect(fates.failed(nowMs + 1)).toHaveLength(1);
});

test('each table has a bound, and what is too old goes', () => {
  const fates = new ImageFates();
  const pulled = Array.from({ length: 10_100 }, (_, number) => pull(number, true, false));
  const blobs = Array.from({ length: 20_100 }, (_, number) => ({ digest: digest(number), evictedBytes: 1 }));
  const failed = Array.from({ length: 2_100 }, (_, number) => ({
    repository: 'a.b/c',
    reference: `v${number}`,
    times: 1,
  }));
  fates.note({ pulled, blobs, failed }, nowMs);
  const lines = [...fates.lines()];
  expect(
    ['fetched', 'evicted', 'failed'].map(type => lines.filter(line => line.type === type).length),
  ).toEqual([10_000, 20_000, 2_000]);
  expect(fates.fetchedOnce(0)[0]?.digest).toBe(digest(100));
  fates.age(nowMs + 8 * dayMs);
  expect([...fates.lines()].some(({ type }) => type === 'evicted')).toBe(false);
  fates.age(nowMs + 401 * dayMs);
  expect([...fates.lines()]).toEqual([]);
});
