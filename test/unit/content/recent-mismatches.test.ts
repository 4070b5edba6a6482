/** For how long a digest is under suspicion. */
import { expect, test } from 'vitest';
import { RecentMismatches } from '../../../src/content/recent-mismatches.ts';
import { digestWith, HandClock } from '../cached/rig.ts';

test('a digest is suspect for a minute after its last mismatch, others are not', () => {
  const clock = new HandClock();
  const suspects = new RecentMismatches(clock.now);
  const digest = digestWith('a');
  const seen = [suspects.has(digest)];
  suspects.add(digest);
  seen.push(suspects.has(digest), suspects.has(digestWith('b')));
  clock.advance(30_000);
  suspects.add(digest);
  clock.advance(59_999);
  seen.push(suspects.has(digest));
  clock.advance(1);
  seen.push(suspects.has(digest));
  expect(seen).toEqual([false, true, false, true, false]);
});

test('a new suspect does not clear the others', () => {
  const clock = new HandClock();
  const suspects = new RecentMismatches(clock.now);
  suspects.add(digestWith('a'));
  clock.advance(59_999);
  suspects.add(digestWith('b'));
  expect([suspects.has(digestWith('a')), suspects.has(digestWith('b'))]).toEqual([true, true]);
  clock.advance(1);
  suspects.add(digestWith('c'));
  expect([suspects.has(digestWith('a')), suspects.has(digestWith('b'))]).toEqual([false, true]);
});
