/** A hosted repository in memory: the same changes give the same state, also by way of a compaction, and the history is bounded. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { HostedChange } from '../../../../src/hosted/log/hosted-log.ts';
import { formatLogLine, parseLogLine } from '../../../../src/hosted/log/log-line.ts';
import { RepositoryState } from '../../../../src/hosted/log/repository-state.ts';
import { RepositoryView } from '../../../../src/hosted/log/repository-view.ts';
import { formatChecksummedLine } from '../../../../src/store/disk-files.ts';
import {
  app,
  digestNo,
  everythingOf,
  HostedLogRig,
  link,
  manifest,
  tag,
  unlink,
} from '../../../support/hosted-log.ts';

const dayMs = 24 * 3_600_000;
const latest = tag('latest');

const numbers = fc.nat({ max: 8 });
const times = fc.nat({ max: 500 }).map(days => days * dayMs);
const tags = fc.constantFrom('a', 'b', 'c', 'latest');

const arbitraryChange: fc.Arbitrary<HostedChange> = fc.oneof(
  fc.tuple(numbers, times).map(([n, at]) => link(n, at)),
  fc.tuple(numbers, times).map(([n, at]) => unlink(n, at)),
  fc
    .tuple(
      numbers,
      fc.array(tags, { maxLength: 3 }),
      times,
      fc.uniqueArray(numbers, { maxLength: 4 }),
      fc.option(numbers),
    )
    .map(([n, names, at, children, subject]) =>
      manifest(n, names, { at, names: children, ...(subject !== null && { subject }) }),
    ),
  fc.tuple(tags, numbers, times).map(
    ([name, n, at]): HostedChange => ({
      type: 'tag',
      tag: tag(name),
      digest: digestNo(n),
      at,
      how: 'restore',
    }),
  ),
  fc
    .tuple(tags, times)
    .map(([name, at]): HostedChange => ({ type: 'untag', tag: tag(name), at, how: 'delete' })),
  fc
    .tuple(fc.constantFrom('delete-manifest', 'undelete-manifest', 'drop-manifest'), numbers, times)
    .map(([type, n, at]): HostedChange => ({ type, digest: digestNo(n), at, how: 'delete' })),
  fc.tuple(numbers, times).map(([n, at]): HostedChange => ({ type: 'pulled', digest: digestNo(n), at })),
);
const commits = fc.array(fc.array(arbitraryChange, { minLength: 1, maxLength: 4 }), { maxLength: 60 });

function stateOf(history: readonly (readonly HostedChange[])[]): RepositoryState {
  const state = new RepositoryState();
  for (const changes of history) state.apply(changes);
  return state;
}

function read(state: RepositoryState): unknown {
  return everythingOf(new RepositoryView(app, state));
}

test('any history, compacted, gives the same state', () => {
  fc.assert(
    fc.property(commits, history => {
      const state = stateOf(history);
      const compacted = new RepositoryState();
      for (const change of state.toChanges()) compacted.apply([change]);
      expect(read(compacted)).toEqual(read(state));
    }),
    { numRuns: 300 },
  );
});

test('any history goes on after a compaction as without one', () => {
  fc.assert(
    fc.property(commits, commits, (before, after) => {
      const straight = stateOf([...before, ...after]);
      const compacted = new RepositoryState();
      for (const change of stateOf(before).toChanges()) compacted.apply([change]);
      for (const changes of after) compacted.apply(changes);
      expect(read(compacted)).toEqual(read(straight));
    }),
  );
});

test('a log cut at any byte is the history up to there, compacts to the same, and goes on', async () => {
  await fc.assert(
    fc.asyncProperty(commits, fc.double({ min: 0, max: 1, noNaN: true }), async (history, share) => {
      const lines = [{ type: 'log', id: '0123456789abcdef' }, ...history.map(formatLogLine)].map(line =>
        Buffer.from(formatChecksummedLine(line)),
      );
      const whole = Buffer.concat(lines);
      const cut = Math.round(whole.length * share);
      let end = 0; // a line is whole without its line feed
      const known = lines.filter(line => {
        end += line.length;
        return end - 1 <= cut;
      }).length;
      const rig = await HostedLogRig.create();
      await mkdir(dirname(rig.path()), { recursive: true });
      await writeFile(rig.path(), whole.subarray(0, cut));
      const { log } = await rig.start();
      const prefix = stateOf(history.slice(0, Math.max(0, known - 1)));
      expect(log.closed().size).toBe(0);
      const found = await log.commit(app, [link(39, 7)]);
      prefix.apply([link(39, 7)]);
      expect(everythingOf(found)).toEqual(read(prefix));
      const compacted = new RepositoryState();
      for (const change of prefix.toChanges()) compacted.apply([change]);
      expect(read(compacted)).toEqual(read(prefix));
      await log.close();
      const again = await rig.start();
      expect(everythingOf(await again.log.commit(app, []))).toEqual(read(prefix));
      await again.log.close();
    }),
    { numRuns: 60 },
  );
});

test('every change comes out of its line as it went in', () => {
  fc.assert(
    fc.property(fc.array(arbitraryChange), changes => {
      const line: unknown = JSON.parse(JSON.stringify(formatLogLine(changes)));
      expect(parseLogLine(line)).toEqual({ changes, foreign: undefined });
    }),
  );
});

test('changes and lines of a newer version are kept apart, as they are; malformed ones are none', () => {
  const known = link(1);
  const odd = { type: 'sign', digest: digestNo(1), by: ['x'] };
  expect(parseLogLine(formatLogLine([known]))).toEqual({ changes: [known], foreign: undefined });
  expect(parseLogLine({ type: 'changes', changes: [odd, known] })).toEqual({
    changes: [known],
    foreign: { type: 'changes', changes: [odd] },
  });
  expect(parseLogLine({ type: 'lock', by: 1 })).toEqual({ changes: [], foreign: { type: 'lock', by: 1 } });
  for (const bad of [
    undefined,
    null,
    7,
    {},
    { type: 'changes' },
    { type: 'changes', changes: [{ ...known, digest: 'sha256:abc' }] },
    { type: 'changes', changes: [{ type: 'tag', tag: '../x', digest: digestNo(1), at: 1, how: 'push' }] },
    { type: 'changes', changes: [{ type: 'moves', tag: 'a', moves: [{}] }] },
  ])
    expect(parseLogLine(bad)).toBeUndefined();
});

test('a tag keeps its last 100 moves, and all of 400 days, the newest first', () => {
  const slow = new RepositoryState();
  for (let n = 0; n < 150; n += 1) slow.apply([manifest(n, ['latest'], { at: n * 10 * dayMs })]);
  const moves = new RepositoryView(app, slow).history(latest);
  expect(moves).toHaveLength(100);
  expect([moves[0]?.to, moves[99]?.to]).toEqual([digestNo(149), digestNo(50)]);

  const fast = new RepositoryState();
  for (let n = 0; n < 1000; n += 1) fast.apply([manifest(n, ['latest'], { at: n * dayMs })]);
  expect(new RepositoryView(app, fast).history(latest)).toHaveLength(401);
});

test('a tag that moves all the time does not fill the memory', () => {
  const state = new RepositoryState();
  for (let n = 0; n < 10_100; n += 1)
    state.apply([{ type: 'tag', tag: latest, digest: digestNo(n % 2), at: n, how: 'push' }]);
  const moves = new RepositoryView(app, state).history(latest);
  expect([moves.length, moves[0]?.at]).toEqual([10_000, 10_099]);
});

test('the same digest again is no move; a tag that is gone long since is forgotten, one that exists never', () => {
  const state = stateOf([
    [manifest(1, ['latest'], { at: 1 })],
    [manifest(1, ['latest'], { at: 2 })],
    [manifest(2, ['gone'], { at: 3 })],
    [{ type: 'untag', tag: tag('gone'), at: 4, how: 'delete' }],
  ]);
  const view = new RepositoryView(app, state);
  expect(view.tag(latest)?.at).toBe(1);
  expect(view.manifest(digestNo(1))?.at).toBe(2);
  state.forgetOldTags(400 * dayMs);
  expect([...view.tagsWithHistory()]).toEqual(['latest', 'gone']);
  state.forgetOldTags(401 * dayMs);
  expect([...view.tagsWithHistory()]).toEqual(['latest']);
});
