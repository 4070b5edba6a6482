/** Tags over a real store and an upstream in memory: exactly what the upstream is asked, and what goes out meanwhile. */
import { setMaxListeners } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { CachedManifest } from '../../../../src/cached/manifests/cached-manifest.ts';
import { CachedTag, isDiscoveryTag } from '../../../../src/cached/manifests/cached-tag.ts';
import type { TagPolicy } from '../../../../src/cached/manifests/freshness.ts';
import { DescriptorSizes } from '../../../../src/content/hot-manifests.ts';
import { parseRepository, parseTag, type Tag } from '../../../../src/oci/name.ts';
import type { ReadOptions, StaleReason } from '../../../../src/registry/registry.ts';
import type { UpstreamError, UpstreamFailure } from '../../../../src/registry/upstream-error.ts';
import { Gate } from '../../../support/gates.ts';
import { buildImage } from '../../../support/images.ts';
import { shortDigest } from '../../../support/request-log.ts';
import { failure, HandClock, isPending } from '../rig.ts';
import { MemoryOrigin, StoreRig } from '../store-rig.ts';

const alpine = parseRepository('library/alpine');
const latest = parseTag('latest');
const signature = parseTag(`sha256-${'a'.repeat(64)}.sig`);
const one = buildImage({ layers: ['layer one'] });
const two = buildImage({ layers: ['layer two'] });
const read: ReadOptions = { signal: new AbortController().signal };
setMaxListeners(0, read.signal); // of all requests of a test, where a server has one of its own for each
const minuteMs = 60_000;

// A check's patience runs by timers of the process: they move by hand, real I/O goes on.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

async function setUp(policy: Partial<TagPolicy> = {}, offline = false) {
  const rig = await StoreRig.create();
  const origin = new MemoryOrigin();
  const clock = new HandClock();
  const { links, manifests } = rig;
  const { signal } = new AbortController();
  const tags: TagPolicy = {
    ttlMs: minuteMs,
    checkTimeoutMs: 2000,
    staleIfErrorMs: Number.POSITIVE_INFINITY,
    on404: 'keep',
    negativeTtlMs: minuteMs,
    ...policy,
  };
  const byDigest = new CachedManifest(origin, {
    offline: false,
    isGuarded: false,
    manifests,
    links,
    sizes: new DescriptorSizes(),
    isPublic: () => true,
    isHeld: async digest => rig.held.has(digest),
    signal,
    tags,
    now: clock.now,
  });
  const cachedTag = new CachedTag(origin, byDigest, {
    tags,
    offline,
    manifests,
    logger: rig.recorder.logger,
    signal,
    now: clock.now,
  });
  const record = await rig.record();
  const get = (tag: Tag = latest, options = read) => cachedTag.manifest(record, alpine, tag, options);
  const head = (tag: Tag = latest, options = read) => cachedTag.resolve(record, alpine, tag, options);
  /** The tag points to image one and was confirmed just now; the image is held whole. */
  const warm = async () => {
    origin.put(one, 'latest');
    await rig.hold(one, record);
    await get();
    origin.asked.length = 0;
    rig.touched.length = 0;
  };
  return { rig, origin, clock, record, get, head, warm };
}

function failWith(origin: MemoryOrigin, failed: UpstreamFailure): UpstreamError {
  const error = failure(failed, undefined, 'manifest');
  origin.before = () => {
    throw error;
  };
  return error;
}

test('a tag that is not held costs one GET, however many ask', async () => {
  const { origin, get, clock } = await setUp();
  origin.put(one, 'latest');
  const answers = await Promise.all(Array.from({ length: 50 }, () => get()));
  expect(origin.lines).toEqual(['GET latest']);
  expect(answers.map(({ outcome }) => outcome).sort()).toEqual([...Array(49).fill('joined'), 'miss']);
  expect(answers[0]).toMatchObject({ descriptor: one.descriptor, bytes: one.bytes, checkedAt: clock.now() });
});

test('HEAD of a tag that is not held costs one HEAD, and the GET after it one GET by digest', async () => {
  const { origin, get, head } = await setUp();
  origin.put(one, 'latest');
  const answers = await Promise.all([head(), head()]);
  expect(answers.map(({ outcome }) => outcome)).toEqual(['miss', 'joined']);
  expect(await head()).toMatchObject({ outcome: 'hit', descriptor: one.descriptor });
  expect(await get()).toMatchObject({ outcome: 'miss', bytes: one.bytes });
  expect(await get()).toMatchObject({ outcome: 'hit' });
  expect(origin.lines).toEqual(['HEAD latest', `GET ${shortDigest(one.digest)}`]);
});

test('within its ttl a tag costs nothing', async () => {
  const { origin, get, head, warm, clock } = await setUp();
  await warm();
  const checkedAt = clock.now();
  clock.advance(minuteMs - 1);
  expect(await get()).toMatchObject({ outcome: 'hit', checkedAt, bytes: one.bytes });
  expect(await head()).toMatchObject({ outcome: 'hit', checkedAt, descriptor: one.descriptor });
  expect(origin.lines).toEqual([]);
});

test('after its ttl one HEAD confirms it for another ttl, for all who ask', async () => {
  const { origin, get, head, warm, clock } = await setUp();
  await warm();
  clock.advance(minuteMs);
  const answers = await Promise.all([get(), head(), get()]);
  for (const answer of answers) expect(answer).toMatchObject({ outcome: 'hit', checkedAt: clock.now() });
  clock.advance(minuteMs - 1);
  await get();
  expect(origin.lines).toEqual(['HEAD latest']);
});

test('a tag that has moved costs one HEAD and one GET by digest', async () => {
  const { origin, get, warm, clock, rig } = await setUp();
  await warm();
  origin.put(two, 'latest');
  clock.advance(minuteMs);
  expect(await get()).toMatchObject({ outcome: 'miss', bytes: two.bytes });
  expect(origin.lines).toEqual(['HEAD latest', `GET ${shortDigest(two.digest)}`]);
  expect(rig.recorder.logged.join()).toContain('tag moved');
  expect(await get()).toMatchObject({ outcome: 'hit', bytes: two.bytes });
});

test('a tag that has moved to what is held already costs the HEAD alone', async () => {
  const { origin, get, warm, clock, rig, record } = await setUp();
  await warm();
  await rig.hold(two, record);
  origin.put(two, 'latest');
  clock.advance(minuteMs);
  expect(await get()).toMatchObject({ outcome: 'hit', bytes: two.bytes });
  expect(origin.lines).toEqual(['HEAD latest']);
});

test('with a low pull quota a moved tag keeps what is held, and says so', async () => {
  const { origin, get, warm, clock } = await setUp();
  await warm();
  const checkedAt = clock.now();
  origin.put(two, 'latest');
  origin.quotaLow = true;
  clock.advance(minuteMs);
  expect(await get()).toMatchObject({ outcome: 'stale', stale: 'pull-quota', bytes: one.bytes, checkedAt });
  expect(origin.lines).toEqual(['HEAD latest']);
  origin.quotaLow = false;
  expect(await get()).toMatchObject({ outcome: 'miss', bytes: two.bytes });
});

test('a served tag marks the blobs of its image as used, by HEAD too', async () => {
  const { get, head, warm, rig } = await setUp();
  await warm();
  await get();
  await head();
  const used = [one.config, ...one.layers].map(blob => blob?.descriptor.digest);
  expect(rig.touched).toEqual([...used, ...used]);
});

test.each<[UpstreamFailure, StaleReason]>([
  ['gone', 'gone'],
  ['denied', 'refused'],
  ['limited', 'rate-limited'],
  ['status', 'unreachable'],
  ['unreachable', 'unreachable'],
])(
  'after a check that failed with "%s" the held image goes out as %s, and the next client checks again',
  async (failed, stale) => {
    const { origin, get, head, warm, clock } = await setUp();
    await warm();
    const checkedAt = clock.now();
    failWith(origin, failed);
    clock.advance(minuteMs);
    expect(await get()).toMatchObject({ outcome: 'stale', stale, bytes: one.bytes, checkedAt });
    expect(await head()).toMatchObject({ outcome: 'stale', stale, descriptor: one.descriptor });
    expect(origin.lines).toEqual(['HEAD latest', 'HEAD latest']);
  },
);

test('where it is to be honoured that a tag is gone, it is gone here too', async () => {
  const { origin, get, warm, clock, record } = await setUp({ on404: 'honour' });
  await warm();
  const error = failWith(origin, 'gone');
  clock.advance(minuteMs);
  await expect(get()).rejects.toBe(error);
  expect(record.tag(latest)).toBeUndefined();
  await expect(get()).rejects.toBe(error);
  expect(origin.lines).toEqual(['HEAD latest', 'GET latest']);
});

test('a tag that is too old for that does not go out after a failure', async () => {
  const { origin, get, warm, clock } = await setUp({ staleIfErrorMs: 10 * minuteMs });
  await warm();
  const error = failWith(origin, 'timeout');
  clock.advance(10 * minuteMs);
  expect(await get()).toMatchObject({ outcome: 'stale' });
  clock.advance(1);
  await expect(get()).rejects.toBe(error);
});

test('a mistake of our own is not hidden by a stale answer', async () => {
  const { origin, get, warm, clock } = await setUp();
  await warm();
  origin.before = () => {
    throw new TypeError('oops');
  };
  clock.advance(minuteMs);
  await expect(get()).rejects.toBeInstanceOf(TypeError);
});

test('a check that is slow lets the held image out and ends in the background', async () => {
  const { origin, get, warm, clock } = await setUp();
  await warm();
  origin.put(two, 'latest');
  const gate = new Gate();
  origin.before = () => gate.pass();
  clock.advance(minuteMs);
  const asked = get();
  await gate.reached;
  await vi.advanceTimersByTimeAsync(1999);
  expect(await isPending(asked)).toBe(true);
  await vi.advanceTimersByTimeAsync(1);
  expect(await asked).toMatchObject({ outcome: 'stale', stale: 'slow', bytes: one.bytes });
  gate.release();
  while (origin.lines.length < 2) await turn();
  while ((await get()).descriptor.digest !== two.digest) await turn();
  expect(origin.lines).toEqual(['HEAD latest', `GET ${shortDigest(two.digest)}`]);
});

test('who comes late to a slow check has as much less patience', async () => {
  const { origin, get, warm, clock } = await setUp();
  await warm();
  const gate = new Gate();
  origin.before = () => gate.pass();
  clock.advance(minuteMs);
  const first = get();
  await gate.reached;
  await vi.advanceTimersByTimeAsync(1500);
  const second = get();
  for (let count = 0; count < 5; count += 1) await turn();
  await vi.advanceTimersByTimeAsync(500);
  expect(await Promise.all([first, second])).toMatchObject([{ stale: 'slow' }, { stale: 'slow' }]);
  const third = get();
  for (let count = 0; count < 5; count += 1) await turn();
  await vi.advanceTimersByTimeAsync(0);
  expect(await third).toMatchObject({ stale: 'slow' });
  expect(origin.lines).toEqual(['HEAD latest']);
  gate.release();
});

test('a slow check is waited for when the held image is not whole', async () => {
  const { origin, get, warm, clock, rig } = await setUp();
  await warm();
  rig.held.clear();
  const gate = new Gate();
  origin.before = () => gate.pass();
  clock.advance(minuteMs);
  const asked = get();
  await gate.reached;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await isPending(asked)).toBe(true);
  gate.release();
  expect(await asked).toMatchObject({ outcome: 'hit' });
});

test('a check that fails in the background, after its client has left, leaves the next request alone', async () => {
  const { origin, get, warm, clock } = await setUp();
  await warm();
  const gate = new Gate();
  origin.before = async () => {
    await gate.pass();
    throw failure('timeout', undefined, 'manifest');
  };
  clock.advance(minuteMs);
  const asked = get();
  await gate.reached;
  await vi.advanceTimersByTimeAsync(2000);
  expect(await asked).toMatchObject({ outcome: 'stale', stale: 'slow' });
  gate.release(); // vitest fails the run on an unhandled rejection
  for (let count = 0; count < 5; count += 1) await turn();
  origin.before = () => {};
  expect(await get()).toMatchObject({ bytes: one.bytes });
});

test('an upstream that is away is not asked: a whole image goes out, another one is a clear no', async () => {
  const { origin, get, warm, clock, rig } = await setUp();
  await warm();
  origin.away = true;
  clock.advance(minuteMs);
  expect(await get()).toMatchObject({ outcome: 'stale', stale: 'unreachable', bytes: one.bytes });
  rig.held.clear();
  await expect(get()).rejects.toMatchObject({ name: 'UpstreamError', code: 'UNAVAILABLE' });
  expect(origin.lines).toEqual([]);
});

test('an upstream that asked for a pause is not asked until then', async () => {
  const { origin, get, warm, clock } = await setUp();
  await warm();
  clock.advance(minuteMs);
  origin.paused = clock.now() + 5000;
  expect(await get()).toMatchObject({ outcome: 'stale', stale: 'rate-limited' });
  clock.advance(5000);
  expect(await get()).toMatchObject({ outcome: 'hit' });
  expect(origin.lines).toEqual(['HEAD latest']);
});

test('a mirror that is offline never asks for what it holds, whatever the client wants', async () => {
  const { origin, get, head, clock, record, rig } = await setUp({}, true);
  await rig.hold(one, record);
  record.setTag(latest, { descriptor: one.descriptor, checkedAt: clock.now() });
  expect(await get(latest, { ...read, mustCheck: true })).toMatchObject({
    outcome: 'stale',
    stale: 'offline',
  });
  clock.advance(365 * 24 * 60 * minuteMs);
  expect(await head()).toMatchObject({ outcome: 'stale', stale: 'offline' });
  expect(origin.lines).toEqual([]);
});

test('a client that insists gets a check, whatever the age', async () => {
  const { origin, get, warm } = await setUp();
  await warm();
  expect(await get(latest, { ...read, mustCheck: true })).toMatchObject({ outcome: 'hit' });
  expect(origin.lines).toEqual(['HEAD latest']);
});

test('a caller who leaves ends his own wait; the check goes on for the others', async () => {
  const { origin, get, warm, clock } = await setUp();
  await warm();
  const gate = new Gate();
  origin.before = () => gate.pass();
  clock.advance(minuteMs);
  const controller = new AbortController();
  const leaving = get(latest, { signal: controller.signal });
  const staying = get();
  await gate.reached;
  const reason = new Error('the client left');
  controller.abort(reason);
  await expect(leaving).rejects.toBe(reason);
  gate.release();
  expect(await staying).toMatchObject({ outcome: 'hit' });
  expect(origin.lines).toEqual(['HEAD latest']);
});

test('that a signature is missing is remembered, for GET and HEAD, and served when the upstream cannot be asked', async () => {
  const { origin, get, head, clock } = await setUp();
  failWith(origin, 'gone');
  const missing = { code: 'MANIFEST_UNKNOWN', detail: { reason: 'gone' } };
  await expect(get(signature)).rejects.toMatchObject(missing);
  clock.advance(minuteMs - 1);
  await expect(get(signature)).rejects.toMatchObject(missing);
  await expect(head(signature)).rejects.toMatchObject(missing);
  expect(origin.lines).toHaveLength(1);
  clock.advance(1);
  failWith(origin, 'unreachable');
  await expect(head(signature)).rejects.toMatchObject(missing);
  expect(origin.lines).toHaveLength(2);
});

test('with a negative_ttl of 0 a missing signature is asked for each time, and missing while nothing can be asked', async () => {
  const { origin, get } = await setUp({ negativeTtlMs: 0 });
  failWith(origin, 'gone');
  const missing = { code: 'MANIFEST_UNKNOWN' };
  for (let count = 0; count < 2; count += 1) await expect(get(signature)).rejects.toMatchObject(missing);
  expect(origin.asked).toHaveLength(2);
  failWith(origin, 'unreachable');
  await expect(get(signature)).rejects.toMatchObject(missing);
});

test('a signature that appears is found after the ttl', async () => {
  const { origin, get, clock } = await setUp();
  failWith(origin, 'gone');
  await expect(get(signature)).rejects.toMatchObject({ code: 'MANIFEST_UNKNOWN' });
  origin.before = () => {};
  origin.put(two, signature);
  clock.advance(minuteMs);
  expect(await get(signature)).toMatchObject({ outcome: 'miss', bytes: two.bytes });
  expect(await get(signature)).toMatchObject({ outcome: 'hit' });
});

test('that an ordinary tag is missing is remembered for negative_ttl too, and only "gone" is', async () => {
  const { origin, get, clock } = await setUp();
  const error = failWith(origin, 'gone');
  await expect(get()).rejects.toBe(error);
  await expect(get()).rejects.toMatchObject({ code: 'MANIFEST_UNKNOWN' });
  expect(origin.lines).toHaveLength(1);
  clock.advance(minuteMs);
  await expect(get()).rejects.toBe(error);
  expect(origin.lines).toHaveLength(2);
  const refused = failWith(origin, 'denied');
  await expect(get(signature)).rejects.toBe(refused);
  await expect(get(signature)).rejects.toBe(refused);
  expect(origin.lines).toHaveLength(4);
});

test.each<[string, boolean]>([
  [`sha256-${'a'.repeat(64)}`, true],
  [`sha256-${'a'.repeat(64)}.sig`, true],
  [`sha256-${'a'.repeat(64)}.att`, true],
  [`sha512-${'a'.repeat(64)}`, true],
  ['v1.sig', true],
  ['latest', false],
  ['v1.sig2', false],
  ['my-sha256-tag', false],
  ['sha256', false],
])('that %s is asked for on the off-chance: %s', (tag, expected) => {
  expect(isDiscoveryTag(parseTag(tag))).toBe(expected);
});
