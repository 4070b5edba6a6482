/** How many connections a blob gets: a pure rule, and the windows that it is asked in. */
import { expect, test } from 'vitest';
import { ConnectionCount, firstPace, nextPace } from '../../../../src/cached/download/parallel-transfer.ts';
import { HandClock } from '../rig.ts';

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

test('it is asked after each MiB for each connection, whatever time that takes', () => {
  const clock = new HandClock();
  const count = new ConnectionCount(clock.now);
  clock.advance(60_000); // until the first byte: no window has begun
  count.arrived(1, true);
  clock.advance(1000);
  expect(count.arrived(mebibyte - 1, true)).toBe(1);
  expect(count.arrived(1, true)).toBe(2);
  count.arrived(1, true);
  clock.advance(1000);
  expect(count.arrived(2 * mebibyte - 1, true)).toBe(2);
  expect(count.arrived(1, true)).toBe(4);
  count.arrived(1, true);
  clock.advance(2000);
  expect(count.arrived(4 * mebibyte, true)).toBe(2); // 4 MiB in two seconds: no more than two connections brought
  expect(count.current).toBe(2);
});

test('it does not judge while connections are still dialling', () => {
  const clock = new HandClock();
  const count = new ConnectionCount(clock.now);
  count.arrived(1, true);
  clock.advance(1000);
  expect(count.arrived(mebibyte, true)).toBe(2);
  clock.advance(1000);
  expect(count.arrived(50 * mebibyte, false)).toBe(2);
  count.arrived(1, true);
  clock.advance(500);
  expect(count.arrived(2 * mebibyte, true)).toBe(4);
});
