/** Times of day where the clock is put forward and back: Berlin, 29 March and 25 October 2026. */
import { beforeAll, expect, test } from 'vitest';
import { dayTimeOf, isWithin, nextTimeAfter } from '../../../src/lib/day-time.ts';

beforeAll(() => {
  process.env['TZ'] = 'Europe/Berlin';
});

const next = (after: string, time: number) => new Date(nextTimeAfter(Date.parse(after), time)).toISOString();

test('the next time of day is later than the given moment, today or tomorrow', () => {
  expect(next('2026-11-27T01:59:59Z', 180)).toBe('2026-11-27T02:00:00.000Z');
  expect(next('2026-11-27T02:00:00Z', 180)).toBe('2026-11-28T02:00:00.000Z');
  expect(next('2026-12-31T23:30:00Z', 0)).toBe('2027-01-01T23:00:00.000Z');
});

test('a skipped time comes an hour later, and one that comes twice counts once', () => {
  expect(next('2026-03-28T12:00:00Z', 150)).toBe('2026-03-29T01:30:00.000Z'); // 03:30 on the clock
  expect(next('2026-03-29T01:30:00Z', 150)).toBe('2026-03-30T00:30:00.000Z');
  expect(next('2026-10-24T12:00:00Z', 150)).toBe('2026-10-25T00:30:00.000Z');
  expect(next('2026-10-25T00:45:00Z', 150)).toBe('2026-10-26T01:30:00.000Z');
});

test('a day of 23 or 25 hours moves no time of day', () => {
  expect(dayTimeOf(Date.parse('2026-03-29T10:00:00Z'))).toBe(12 * 60);
  expect(dayTimeOf(Date.parse('2026-10-25T10:00:00Z'))).toBe(11 * 60);
});

test('a window holds its first minute and not its last, also over midnight', () => {
  const night = { from: 22 * 60, to: 6 * 60 };
  expect([22 * 60, 0, 359, 360, 720, 1319].map(time => isWithin(time, night))).toEqual([
    true,
    true,
    true,
    false,
    false,
    false,
  ]);
  const morning = { from: 120, to: 360 };
  expect([119, 120, 359, 360].map(time => isWithin(time, morning))).toEqual([false, true, true, false]);
});
