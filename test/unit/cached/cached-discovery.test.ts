/** Tags and referrers: what the upstream is asked, and for how long "there are none" is remembered. */
import { expect, test } from 'vitest';
import { Absent } from '../../../src/cached/absent.ts';
import { CachedDiscovery } from '../../../src/cached/cached-discovery.ts';
import { ociIndex } from '../../../src/oci/media-type.ts';
import { parseRepository } from '../../../src/oci/name.ts';
import type { ReadOptions } from '../../../src/registry/registry.ts';
import { Gate } from '../../support/gates.ts';
import { buildArtifact } from '../../support/images.ts';
import { digestWith, failure, HandClock } from './rig.ts';
import { MemoryOrigin } from './store-rig.ts';

const alpine = parseRepository('library/alpine');
const digest = digestWith('a');
const read: ReadOptions = { signal: new AbortController().signal };
const some = indexOf([buildArtifact().descriptor]);

function indexOf(manifests: readonly object[]): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests }));
}

function setUp() {
  const origin = new MemoryOrigin();
  const clock = new HandClock();
  const discovery = new CachedDiscovery({
    origin,
    absent: new Absent(60_000, clock.now),
    signal: new AbortController().signal,
  });
  const ask = (artifactType?: string, query?: string, name = 'docker.io/library/alpine') =>
    discovery.referrers(name, alpine, digest, artifactType, {
      ...read,
      ...(query === undefined ? {} : { query }),
    });
  return { origin, clock, discovery, ask };
}

test('that there are no referrers is asked once in a ttl, whatever type is asked for then', async () => {
  const { origin, clock, ask } = setUp();
  await ask();
  const checkedAt = clock.now();
  clock.advance(59_999);
  const again = await ask('application/vnd.example');
  expect(again).toMatchObject({ outcome: 'hit', checkedAt });
  expect(JSON.parse(again.bytes.toString())).toEqual({
    schemaVersion: 2,
    mediaType: ociIndex,
    manifests: [],
  });
  expect(origin.asked).toHaveLength(1);
  clock.advance(1);
  await ask();
  expect(origin.asked).toHaveLength(2);
});

test('it is remembered for that repository alone', async () => {
  const { origin, ask } = setUp();
  await ask();
  await ask(undefined, undefined, 'docker.io/library/other');
  expect(origin.asked).toHaveLength(2);
});

test('referrers that there are, are asked for each time', async () => {
  const { origin, ask } = setUp();
  origin.referrersAnswer = { bytes: some };
  expect((await ask()).bytes).toEqual(some);
  await ask();
  expect(origin.asked).toHaveLength(2);
});

test.each<[string, Parameters<ReturnType<typeof setUp>['ask']>, object]>([
  ['of one type', ['application/vnd.example'], {}],
  ['on a later page', [undefined, 'page=2'], {}],
  ['on the first of several pages', [], { nextQuery: 'page=2' }],
])('none %s does not mean none at all', async (_where, asked, answer) => {
  const { origin, ask } = setUp();
  origin.referrersAnswer = answer;
  await ask(...asked);
  await ask();
  expect(origin.asked).toHaveLength(2);
});

test('while the upstream cannot be asked, what was missed before is still missed; anything else is an error', async () => {
  const { origin, clock, ask } = setUp();
  const error = failure('unreachable', undefined, 'referrers');
  await ask();
  const checkedAt = clock.now();
  clock.advance(60_000);
  origin.before = () => {
    throw error;
  };
  expect(await ask()).toMatchObject({ outcome: 'stale', stale: 'unreachable', checkedAt });
  await expect(ask(undefined, undefined, 'docker.io/library/other')).rejects.toBe(error);
});

test('a referrer that appears is found after the ttl, and the miss is forgotten', async () => {
  const { origin, clock, ask } = setUp();
  await ask();
  clock.advance(60_000);
  origin.referrersAnswer = { bytes: some };
  expect((await ask()).bytes).toEqual(some);
  origin.before = () => {
    throw failure('unreachable', undefined, 'referrers');
  };
  await expect(ask()).rejects.toMatchObject({ failure: 'unreachable' });
});

test('those who ask the same at once share one question', async () => {
  const { origin, ask } = setUp();
  const gate = new Gate();
  origin.referrersAnswer = { bytes: some };
  origin.before = () => gate.pass();
  const asked = [ask(), ask(), ask('application/vnd.example')];
  gate.release();
  await Promise.all(asked);
  expect(origin.asked).toHaveLength(2);
});

test('a list that is no JSON goes on as it came, and is no reason to remember anything', async () => {
  const { origin, ask } = setUp();
  const bytes = Buffer.from('<html>');
  origin.referrersAnswer = { bytes };
  expect((await ask()).bytes).toEqual(bytes);
  await ask();
  expect(origin.asked).toHaveLength(2);
});

test('tags are asked for each time, page by page', async () => {
  const { origin, discovery } = setUp();
  origin.tagsPage = { tags: ['1'], next: { last: '1', n: 1 } };
  expect(await discovery.tags(alpine, { ...read, n: 1 })).toMatchObject({ tags: ['1'], next: { last: '1' } });
  await discovery.tags(alpine, { ...read, n: 1, last: '1' });
  expect(origin.asked.map(({ rest }) => rest)).toEqual([
    [1, undefined],
    [1, '1'],
  ]);
});
