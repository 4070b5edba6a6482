import { expect, test } from 'vitest';
import { RepeatRequests } from '../../../src/content/repeat-requests.ts';
import { digestWith, HandClock } from '../cached/rig.ts';

const [a, b] = [digestWith('a'), digestWith('b')];

test('the same client asks for the same blob again within a minute', () => {
  const clock = new HandClock();
  const repeats = new RepeatRequests(clock.now);
  expect(repeats.note('10.0.0.1', a)).toBe(false);
  expect(repeats.note('10.0.0.1', b)).toBe(false);
  expect(repeats.note('10.0.0.2', a)).toBe(false);
  clock.advance(60_000);
  expect(repeats.note('10.0.0.1', a)).toBe(true);
  clock.advance(60_000);
  expect(repeats.note('10.0.0.1', a)).toBe(true); // of the last time, not of the first
  clock.advance(60_001);
  expect(repeats.note('10.0.0.1', a)).toBe(false);
});
