/** How long a mismatch is remembered. What happens to bad files is guarded by held-files.test.ts. */
import { expect, test } from 'vitest';
import { RecentMismatches } from '../../../src/content/bad-blobs.ts';
import { digestWith, HandClock } from '../cached/rig.ts';

test('a digest counts as mismatched for a minute after its last mismatch, others are not', () => {
  const clock = new HandClock();
  const mismatches = new RecentMismatches(clock.now);
  const digest = digestWith('a');
  const seen = [mismatches.has(digest)];
  mismatches.add(digest);
  seen.push(mismatches.has(digest), mismatches.has(digestWith('b')));
  clock.advance(30_000);
  mismatches.add(digest);
  clock.advance(59_999);
  seen.push(mismatches.has(digest));
  clock.advance(1);
  seen.push(mismatches.has(digest));
  expect(seen).toEqual([false, true, false, true, false]);
});

test('a new mismatch does not clear the others', () => {
  const clock = new HandClock();
  const mismatches = new RecentMismatches(clock.now);
  mismatches.add(digestWith('a'));
  clock.advance(59_999);
  mismatches.add(digestWith('b'));
  expect([mismatches.has(digestWith('a')), mismatches.has(digestWith('b'))]).toEqual([true, true]);
  clock.advance(1);
  mismatches.add(digestWith('c'));
  expect([mismatches.has(digestWith('a')), mismatches.has(digestWith('b'))]).toEqual([false, true]);
});
