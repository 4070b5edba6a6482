/** How many connections a blob gets: a pure rule, and the windows that it is asked in. */
import { expect, test } from 'vitest';
import { ConnectionCount, firstPace, nextPace } from '../../../../src/cached/download/parallel-transfer.ts';

const mebibyte = 1024 * 1024;

/** The counts after each of these rates, in any unit. */
function countsAt(rates: readonly number[]): number[] {
  let pace = firstPace;
  return rates.map(rate => {
    pace = nextPace(pace, rate);
    return pace.count;
  });
}

test.each([
  ['doubles as long as it gets faster, up to eight', [10, 20, 30, 40, 50], [2, 4, 8, 8, 8]],
  [
    'takes the last ones back when they brought nothing, and stays there',
    [10, 20, 21, 90, 5],
    [2, 4, 2, 2, 2],
  ],
  ['goes back to four when eight bring no more', [10, 20, 30, 31, 90], [2, 4, 8, 4, 4]],
  ['stays at one where one fills the line', [10, 10, 40], [2, 1, 1]],
])('it %s', (_what, rates, counts) => {
  expect(countsAt(rates)).toEqual(counts);
});

test('it is asked after a MiB and 60 ms for each connection, or after 4 MiB', () => {
  const count = new ConnectionCount();
  expect(count.arrived(mebibyte - 1, 1000, true)).toBe(1);
  expect(count.arrived(1, 0, true)).toBe(2);
  expect(count.arrived(2 * mebibyte, 119, true)).toBe(2); // a burst
  expect(count.arrived(1, 1, true)).toBe(4);
  expect(count.arrived(16 * mebibyte - 1, 0, true)).toBe(4);
  expect(count.arrived(1, 200, true)).toBe(8);
  expect(count.arrived(8 * mebibyte, 2000, true)).toBe(4); // each of eight brings less than half of what each of four did
  expect(count.current).toBe(4);
});

test('it judges neither the wait for an answer nor what comes while others are still dialling', () => {
  const count = new ConnectionCount();
  expect(count.arrived(mebibyte, 1000, true)).toBe(2);
  expect(count.arrived(50 * mebibyte, 1000, false)).toBe(2);
  expect(count.arrived(50 * mebibyte, undefined, true)).toBe(2);
  expect(count.arrived(2 * mebibyte, 2000, true)).toBe(4);
});
