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
  [
    'grows as long as it gets faster, up to eight',
    [10, 20, 30, 40, 50, 60, 70, 80, 90, 100],
    [2, 3, 4, 5, 6, 7, 8, 8, 8, 8],
  ],
  ['takes the last one back when it brought nothing, and stays there', [10, 20, 21, 90, 5], [2, 3, 2, 2, 2]],
  ['stays at one where one fills the line', [10, 10, 40], [2, 1, 1]],
])('it %s', (_what, rates, counts) => {
  expect(countsAt(rates)).toEqual(counts);
});

test('it is asked after each 4 MiB for each connection, whatever time that takes', () => {
  const clock = new HandClock();
  const count = new ConnectionCount(clock.now);
  clock.advance(1000);
  expect(count.arrived(4 * mebibyte - 1)).toBe(1);
  expect(count.arrived(1)).toBe(2);
  clock.advance(1000);
  expect(count.arrived(8 * mebibyte - 1)).toBe(2);
  expect(count.arrived(1)).toBe(3);
  clock.advance(1000);
  expect(count.arrived(8 * mebibyte)).toBe(3);
  clock.advance(1000);
  expect(count.arrived(4 * mebibyte)).toBe(2); // 12 MiB in two seconds: no more than two connections brought
});
