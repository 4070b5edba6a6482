/** Who brings which bytes: closed claims before open-ended ones, and those who wait are told of each that ends. */
import { expect, test } from 'vitest';
import { InFlightRanges, isOpenEnded } from '../../../../src/cached/download/in-flight-ranges.ts';

test('a byte is brought by the claim that covers it, by a closed one before an open-ended one', () => {
  const claims = new InFlightRanges();
  const open = claims.add(100, Number.POSITIVE_INFINITY);
  const closed = claims.add(500, 600);
  expect([99, 100, 499, 500, 599, 600].map(offset => claims.covering(offset))).toEqual([
    undefined,
    open,
    open,
    closed,
    closed,
    open,
  ]);
  expect([claims.closedAt(100), claims.closedAt(500)]).toEqual([undefined, closed]);
  expect([isOpenEnded(open), isOpenEnded(closed), claims.hasOpenEnded]).toEqual([true, false, true]);
});

test('what a transfer has brought is no longer claimed', () => {
  const claims = new InFlightRanges();
  const claim = claims.add(100, 200);
  claim.at = 150;
  expect([claims.covering(149), claims.covering(150)]).toEqual([undefined, claim]);
  expect(claims.pendingBytes).toBe(50);
});

test('the next claim beyond an offset; none is infinitely far', () => {
  const claims = new InFlightRanges();
  claims.add(500, 600);
  claims.add(300, 400);
  expect([0, 300, 499, 500].map(offset => claims.nextStart(offset))).toEqual([300, 500, 500, Infinity]);
});

test('those who wait are told when a claim is dropped, and its bytes are free', async () => {
  const claims = new InFlightRanges();
  const claim = claims.add(0, 100);
  const { changed } = claims.nextDrop();
  claims.drop(claim);
  await changed;
  expect([claims.covering(0), claims.pendingBytes, claims.hasOpenEnded]).toEqual([undefined, 0, false]);
});
