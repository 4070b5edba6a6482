/** Referrers: one question for all filters, held like tags; that there are none has a ttl of its own. */
import { expect, test } from 'vitest';
import { CachedReferrers, createReferrersMemory } from '../../../../src/cached/lists/cached-referrers.ts';
import { gatheringLimits } from '../../../../src/cached/lists/paginate.ts';
import type { TagPolicy } from '../../../../src/cached/manifests/freshness.ts';
import { ociIndex } from '../../../../src/oci/media-type.ts';
import { parseRepository } from '../../../../src/oci/name.ts';
import type { ReferrersAnswer } from '../../../../src/registry/registry.ts';
import { Gate } from '../../../support/gates.ts';
import { digestWith, failure, HandClock } from '../rig.ts';
import { MemoryOrigin } from '../store-rig.ts';

const alpine = parseRepository('library/alpine');
const digest = digestWith('a');
const { signal } = new AbortController();
const policy: TagPolicy = {
  ttlMs: 60_000,
  checkTimeoutMs: 2000,
  staleIfErrorMs: Number.POSITIVE_INFINITY,
  on404: 'keep',
  negativeTtlMs: 30_000,
};

const one = { digest: digestWith('1'), artifactType: 'a/x' };
const two = { digest: digestWith('2'), artifactType: 'b/y' };

function indexOf(...manifests: object[]): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests }, undefined, 1));
}

function manifestsOf({ bytes }: ReferrersAnswer): unknown {
  return JSON.parse(bytes.toString()).manifests;
}

function setUp() {
  const origin = new MemoryOrigin();
  origin.referrersAnswer = { bytes: indexOf(one, two) };
  const clock = new HandClock();
  const memory = createReferrersMemory();
  const referrers = new CachedReferrers(origin, {
    tags: policy,
    offline: false,
    referrerLists: memory,
    limits: gatheringLimits,
    signal,
    now: clock.now,
  });
  const ask = (artifactType?: string, query?: string, name = 'docker.io/library/alpine') =>
    referrers.referrers(name, alpine, digest, artifactType, {
      signal,
      ...(query !== undefined && { query }),
    });
  return { origin, clock, ask, asked: () => origin.asked.map(({ rest }) => rest) };
}

test('one list, as it came, answers all callers; with a filter it is cut from it', async () => {
  const { clock, ask, asked } = setUp();
  const checkedAt = clock.now();
  expect(await ask()).toEqual({ outcome: 'miss', checkedAt, bytes: indexOf(one, two), filtered: false });
  const some = await ask('b/y');
  expect(some).toMatchObject({ outcome: 'hit', checkedAt, filtered: true });
  expect(JSON.parse(some.bytes.toString())).toEqual({
    schemaVersion: 2,
    mediaType: ociIndex,
    manifests: [two],
  });
  expect(manifestsOf(await ask('c/z'))).toEqual([]);
  expect(asked()).toEqual([[digest, undefined, undefined]]);
});

test('that there are none is believed for negative_ttl, that there are some for ttl', async () => {
  const { origin, clock, ask, asked } = setUp();
  origin.referrersAnswer = { bytes: indexOf() };
  expect(manifestsOf(await ask('a/x'))).toEqual([]);
  clock.advance(29_999);
  expect(await ask()).toMatchObject({ outcome: 'hit', filtered: false });
  clock.advance(1);
  origin.referrersAnswer = { bytes: indexOf(one) };
  expect(manifestsOf(await ask())).toEqual([one]);
  clock.advance(59_999);
  expect(await ask()).toMatchObject({ outcome: 'hit' });
  expect(asked()).toHaveLength(2);
});

test('they are held for that repository alone', async () => {
  const { ask, asked } = setUp();
  await ask();
  await ask(undefined, undefined, 'docker.io/library/other');
  expect(asked()).toHaveLength(2);
});

test('those who ask at once share one question, whatever they filter for', async () => {
  const { origin, ask, asked } = setUp();
  const gate = new Gate();
  origin.before = () => gate.pass();
  const answers = [ask(), ask('a/x'), ask('b/y')];
  gate.release();
  expect((await Promise.all(answers)).map(manifestsOf)).toEqual([[one, two], [one], [two]]);
  expect(asked()).toHaveLength(1);
});

test('while the upstream cannot be asked the held list goes out stale, empty or not; others fail', async () => {
  const { origin, clock, ask } = setUp();
  const checkedAt = clock.now();
  await ask();
  origin.referrersAnswer = { bytes: indexOf() };
  await ask(undefined, undefined, 'docker.io/library/none');
  clock.advance(60_000);
  const error = failure('unreachable', undefined, 'referrers');
  origin.before = () => {
    throw error;
  };
  const held = await ask('a/x');
  expect(held).toMatchObject({ outcome: 'stale', stale: 'unreachable', checkedAt, filtered: true });
  expect(manifestsOf(held)).toEqual([one]);
  const none = await ask(undefined, undefined, 'docker.io/library/none');
  expect(none).toMatchObject({ stale: 'unreachable', checkedAt });
  expect(manifestsOf(none)).toEqual([]);
  await expect(ask(undefined, undefined, 'docker.io/library/other')).rejects.toBe(error);
});

test('pages are gathered into one list, whatever page the client asks for', async () => {
  const { origin, ask, asked } = setUp();
  origin.before = ({ rest: [, , query] }) => {
    origin.referrersAnswer =
      query === undefined ? { bytes: indexOf(one), nextQuery: 'page=2' } : { bytes: indexOf(two) };
  };
  expect(manifestsOf(await ask(undefined, 'page=2'))).toEqual([one, two]);
  expect(asked()).toEqual([
    [digest, undefined, undefined],
    [digest, undefined, 'page=2'],
  ]);
});

test('a list of more than twenty pages is passed through, filter and page query with it', async () => {
  const { origin, ask, asked } = setUp();
  let count = 0;
  origin.before = () => {
    count += 1;
    const bytes = indexOf({ ...one, annotations: { count } });
    origin.referrersAnswer = { bytes, nextQuery: `page=n${count}`, filtered: true };
  };
  expect(await ask('a/x', 'page=3')).toMatchObject({
    outcome: 'miss',
    filtered: true,
    nextQuery: 'page=n21',
  });
  expect(asked()).toHaveLength(21);
  expect(asked()[20]).toEqual([digest, 'a/x', 'page=3']);
  expect(await ask('a/x', 'page=3')).toMatchObject({ outcome: 'hit', nextQuery: 'page=n21' });
  expect(asked()).toHaveLength(21);
});

test('what is no index is a failure and never takes the place of one', async () => {
  const { origin, clock, ask } = setUp();
  await ask();
  clock.advance(60_000);
  origin.referrersAnswer = { bytes: Buffer.from('<html>') };
  expect(await ask()).toMatchObject({ stale: 'unreachable', bytes: indexOf(one, two) });
  await expect(ask(undefined, undefined, 'docker.io/library/other')).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    failure: 'status',
  });
});
