/** Which transfer brings which bytes: closed ranges before open-ended ones; each dropped range ends the waits. */
import { expect, test } from 'vitest';
import { InFlightRanges, isOpenEnded } from '../../../../src/cached/download/in-flight-ranges.ts';

test('a byte is brought by the range that covers it, by a closed one before an open-ended one', () => {
  const ranges = new InFlightRanges();
  const open = ranges.add(100, Number.POSITIVE_INFINITY);
  const closed = ranges.add(500, 600);
  expect([99, 100, 499, 500, 599, 600].map(offset => ranges.covering(offset))).toEqual([
    undefined,
    open,
    open,
    closed,
    closed,
    open,
  ]);
  expect([ranges.closedAt(100), ranges.closedAt(500)]).toEqual([undefined, closed]);
  expect([isOpenEnded(open), isOpenEnded(closed), ranges.hasOpenEnded]).toEqual([true, false, true]);
});

test('what a transfer has brought is no longer in flight', () => {
  const ranges = new InFlightRanges();
  const range = ranges.add(100, 200);
  range.at = 150;
  expect([ranges.covering(149), ranges.covering(150)]).toEqual([undefined, range]);
  expect(ranges.pendingBytes).toBe(50);
});

test('the next range beyond an offset; none is infinitely far', () => {
  const ranges = new InFlightRanges();
  ranges.add(500, 600);
  ranges.add(300, 400);
  expect([0, 300, 499, 500].map(offset => ranges.nextStart(offset))).toEqual([300, 500, 500, Infinity]);
});

test('a wait ends when a range is dropped, and its bytes are free', async () => {
  const ranges = new InFlightRanges();
  const range = ranges.add(0, 100);
  const dropped = ranges.nextDrop(new AbortController().signal);
  ranges.drop(range);
  await dropped;
  expect([ranges.covering(0), ranges.pendingBytes, ranges.hasOpenEnded]).toEqual([undefined, 0, false]);
});
