/** Tags: gathered, sorted, held; passed through when there are too many. */
import { expect, test } from 'vitest';
import { CachedTagList, createTagListMemory } from '../../../../src/cached/lists/cached-tag-list.ts';
import { gatheringLimits } from '../../../../src/cached/lists/paginate.ts';
import type { TagPolicy } from '../../../../src/cached/manifests/freshness.ts';
import { parseRepository } from '../../../../src/oci/name.ts';
import { byTag } from '../../../../src/registry/page.ts';
import type { PageOptions } from '../../../../src/registry/registry.ts';
import { Gate } from '../../../support/gates.ts';
import { failure, HandClock, isPending } from '../rig.ts';
import { MemoryOrigin } from '../store-rig.ts';

const alpine = parseRepository('library/alpine');
const name = 'docker.io/library/alpine';
const { signal } = new AbortController();
const policy: TagPolicy = {
  ttlMs: 60_000,
  checkTimeoutMs: 2000,
  staleIfErrorMs: Number.POSITIVE_INFINITY,
  on404: 'keep',
  negativeTtlMs: 60_000,
};

function setUp(overrides: Partial<TagPolicy> = {}) {
  const origin = new MemoryOrigin();
  origin.tagsPage = { tags: ['b', 'a', 'C', 'a'] };
  const clock = new HandClock();
  const memory = createTagListMemory();
  const tagList = new CachedTagList(origin, {
    tags: { ...policy, ...overrides },
    offline: false,
    tagLists: memory,
    limits: gatheringLimits,
    signal,
    now: clock.now,
  });
  const ask = (page: Partial<PageOptions> = {}) => tagList.tags(name, alpine, { signal, ...page });
  return { origin, clock, memory, ask, asked: () => origin.asked.map(({ rest }) => rest) };
}

function pageOf(query: unknown): number {
  return Number(new URLSearchParams(String(query ?? '')).get('token') ?? 0);
}

/** Each page has its number, and there is always one more. */
function endless(origin: MemoryOrigin): void {
  origin.before = ({ rest: [, , query] }) => {
    const page = pageOf(query) + 1;
    origin.tagsPage = { tags: [String(page)], nextQuery: `token=${page}` };
  };
}

test('a list is sorted without regard to case, each tag once, and our pages are cut from it', async () => {
  const { clock, ask, asked } = setUp();
  const checkedAt = clock.now();
  expect(await ask()).toEqual({ outcome: 'miss', checkedAt, tags: ['a', 'b', 'C'] });
  clock.advance(59_999);
  expect(await ask({ n: 2 })).toEqual({
    outcome: 'hit',
    checkedAt,
    tags: ['a', 'b'],
    next: { last: 'b', n: 2 },
  });
  expect((await ask({ n: 2, last: 'b' })).tags).toEqual(['C']);
  expect(await ask({ n: 0 })).toEqual({ outcome: 'hit', checkedAt, tags: [] });
  expect(asked()).toEqual([[1000, undefined]]);
});

test('after the ttl, or with no-cache, it is asked for again', async () => {
  const { origin, clock, ask, asked } = setUp();
  await ask();
  origin.tagsPage = { tags: ['new'] };
  expect((await ask()).tags).toEqual(['a', 'b', 'C']);
  expect((await ask({ mustCheck: true })).tags).toEqual(['new']);
  clock.advance(60_000);
  expect(await ask()).toMatchObject({ outcome: 'miss', tags: ['new'] });
  expect(asked()).toHaveLength(3);
});

test('those who ask at once share one question', async () => {
  const { origin, ask, asked } = setUp();
  const gate = new Gate();
  origin.before = () => gate.pass();
  const answers = [ask(), ask({ n: 1 }), ask({ last: 'a' })];
  gate.release();
  expect((await Promise.all(answers)).map(({ outcome }) => outcome)).toEqual(['miss', 'joined', 'joined']);
  expect(asked()).toHaveLength(1);
});

test.each([
  ['unreachable', 'unreachable'],
  ['limited', 'rate-limited'],
  ['denied', 'refused'],
  ['gone', 'gone'],
] as const)('a check that fails (%s): the held list goes out stale', async (failed, reason) => {
  const { origin, clock, ask } = setUp();
  const checkedAt = clock.now();
  await ask();
  clock.advance(60_000);
  origin.before = () => {
    throw failure(failed, undefined, 'tags');
  };
  expect(await ask({ n: 1 })).toEqual({
    outcome: 'stale',
    stale: reason,
    checkedAt,
    tags: ['a'],
    next: { last: 'a', n: 1 },
  });
});

test('while the upstream is away or wants to be left alone, nothing is asked', async () => {
  const { origin, clock, ask, asked } = setUp();
  await ask();
  clock.advance(60_000);
  origin.away = true;
  expect(await ask()).toMatchObject({ stale: 'unreachable' });
  origin.away = false;
  origin.paused = clock.now() + 1;
  expect(await ask()).toMatchObject({ stale: 'rate-limited' });
  expect(asked()).toHaveLength(1);
});

test('a check that takes too long: the held list goes out stale, and the next client has what it found', async () => {
  const { origin, clock, ask } = setUp({ checkTimeoutMs: 1 });
  await ask();
  clock.advance(60_000);
  const gate = new Gate();
  origin.before = () => gate.pass();
  origin.tagsPage = { tags: ['new'] };
  expect(await ask()).toMatchObject({ stale: 'slow', tags: ['a', 'b', 'C'] });
  gate.release();
  await expect.poll(async () => (await ask()).tags).toEqual(['new']);
});

test('with on_404: honour a repository that is gone is gone', async () => {
  const { origin, clock, memory, ask } = setUp({ on404: 'honour' });
  await ask();
  clock.advance(60_000);
  origin.before = () => {
    throw failure('gone', undefined, 'tags');
  };
  await expect(ask()).rejects.toMatchObject({ code: 'NAME_UNKNOWN' });
  expect(memory.size).toBe(0);
});

test('stale_if_error bounds how old a list may go out', async () => {
  const { origin, clock, ask } = setUp({ staleIfErrorMs: 100_000 });
  await ask();
  clock.advance(100_001);
  origin.away = true;
  origin.before = () => {
    throw failure('breaker', undefined, 'tags');
  };
  await expect(ask()).rejects.toMatchObject({ failure: 'breaker' });
});

test('a list of twenty pages is gathered', async () => {
  const { origin, ask, asked } = setUp();
  origin.before = ({ rest: [, , query] }) => {
    const page = pageOf(query) + 1;
    const own = { tags: [String(page)] };
    origin.tagsPage = page === 20 ? { ...own } : { ...own, nextQuery: `token=${page}` };
  };
  expect((await ask()).tags).toHaveLength(20);
  expect(asked()[19]).toEqual([undefined, undefined, 'token=19']);
});

test('one of more is passed through as the client asked, each page held, and not gathered again for an hour', async () => {
  const { origin, clock, ask, asked } = setUp();
  endless(origin);
  expect(await ask({ n: 5 })).toMatchObject({ outcome: 'miss', tags: ['1'], nextQuery: 'token=1' });
  expect(asked()).toHaveLength(21);
  expect(asked()[20]).toEqual([undefined, undefined, 'n=5']);
  expect(await ask({ n: 5 })).toMatchObject({ outcome: 'hit', tags: ['1'] });
  const later = { n: 5, query: 'token=7&n=5', mustCheck: true };
  expect(await ask(later)).toMatchObject({ tags: ['8'], nextQuery: 'token=8' });
  expect(await ask({ n: 0 })).toMatchObject({ tags: [] });
  expect(asked()).toHaveLength(22);
  clock.advance(60_000);
  origin.away = true;
  expect(await ask({ n: 5 })).toMatchObject({ stale: 'unreachable', tags: ['1'], nextQuery: 'token=1' });
  origin.away = false;
  clock.advance(3_540_000);
  await ask({ n: 5 });
  expect(asked()).toHaveLength(43);
});

test('a page that is passed through and leads to its own tags again has no next page', async () => {
  const { origin, ask } = setUp();
  endless(origin);
  await ask();
  const walked = await ask({ query: 'token=50' });
  expect(walked).toMatchObject({ tags: ['51'], nextQuery: 'token=51' });
  origin.before = () => {
    origin.tagsPage = { tags: ['51'], nextQuery: 'token=fresh' };
  };
  expect(await ask({ query: 'token=51' })).not.toHaveProperty('nextQuery');
  origin.before = () => {
    origin.tagsPage = { tags: ['60'], nextQuery: 'n=5&token=60' };
  };
  expect(await ask({ query: 'token=60&n=5' })).not.toHaveProperty('nextQuery');
});

test('a large list is sorted in slices like a small one, and within its ttl no-cache does not ask for it again', async () => {
  const { origin, clock, ask, asked } = setUp();
  const tags = Array.from(
    { length: 20_000 },
    (_, index) => `${index % 2 === 0 ? 'V' : 'v'}${(index * 7919) % 15_000}`,
  );
  origin.tagsPage = { tags };
  const { tags: sorted } = await ask();
  expect(sorted).toEqual([...new Set(tags)].sort(byTag));
  const storm = await Promise.all(Array.from({ length: 20 }, () => ask({ mustCheck: true, n: 1 })));
  expect(storm.map(({ outcome }) => outcome)).toEqual(Array(20).fill('hit'));
  expect(asked()).toHaveLength(1);
  clock.advance(60_000);
  await ask({ n: 1 });
  expect(asked()).toHaveLength(2);
});

test('a client that leaves takes no other along: the request goes on for them', async () => {
  const { origin, ask, asked } = setUp();
  const gate = new Gate();
  origin.before = () => gate.pass();
  const leaving = new AbortController();
  const left = ask({ signal: leaving.signal });
  const stays = ask();
  leaving.abort(new Error('left'));
  await expect(left).rejects.toThrow('left');
  expect(await isPending(stays)).toBe(true);
  gate.release();
  expect((await stays).tags).toEqual(['a', 'b', 'C']);
  expect(asked()).toHaveLength(1);
});
