/**
 * Held files that aren't what their digest says any more: found when it is time, or when a client asks twice; never given
 * whole after that, and healed from the upstream with as few questions as possible.
 */
import { mkdir, open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { type CallResult, get, head, request, requestMany } from '../support/client.ts';
import { type BlobContent, bytesBlob, patternBlob } from '../support/content.ts';
import { answer, cut } from '../support/faults.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { blobLine, manifestLine } from '../support/request-log.ts';
import { filesUnder } from '../support/temp-dir.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';

const dayMs = 86_400_000;
const minuteMs = 60_000;
/** The files are a little younger than the clock. */
const dueMs = 30 * dayMs + minuteMs;
const large = patternBlob('damaged large', 5_000_000);
const small = patternBlob('damaged small', 100_000);
const image = buildImage({ layers: [large, small] });

const pathOf = (digest: string) => `/v2/library/app/blobs/${digest}`;

/** What is held is as old as the test says. */
class Clock {
  #now = Date.now();
  readonly now = () => this.#now;
  advance(ms: number): void {
    this.#now += ms;
  }
}

interface Rig {
  readonly upstream: FakeUpstream;
  readonly mirror: TestMirror;
  readonly clock: Clock;
  blob(content: BlobContent, options?: Parameters<typeof get>[2]): Promise<CallResult>;
  flip(content: BlobContent, at: number): Promise<void>;
  fileOf(digest: string): string;
  /** What was downloaded is in its place: the clients have it a moment before. */
  stored(): Promise<void>;
  /** `GET blob …`, of all since the blobs were pulled. */
  lines(): string[];
  found(): Promise<number>;
}

/** Both blobs are held, from a pull by digest alone: no manifest is known. */
async function start(config: Parameters<typeof startTestMirror>[0] = {}): Promise<Rig> {
  const upstream = await startFakeUpstream();
  upstream.put('library/app', image, 'latest');
  const clock = new Clock();
  const mirror = await startTestMirror({ upstream, now: clock.now, ...config });
  const stored = () =>
    expect.poll(() => mirror.metric('cistern_downloads_active{upstream="docker.io"}')).toBe(0);
  for (const { digest } of [large, small]) await get(mirror.url, pathOf(digest), { keep: false });
  await Promise.all([stored(), mirror.settled()]);
  const before = upstream.lines().length;
  return {
    upstream,
    mirror,
    clock,
    blob: (content, options) => get(mirror.url, pathOf(content.digest), { keep: false, ...options }),
    flip: (content, at) => flip(fileOf(mirror.storePath, content.digest), at, content),
    fileOf: digest => fileOf(mirror.storePath, digest),
    stored,
    lines: () => upstream.lines().slice(before),
    found: () => mirror.metric('cistern_store_errors_total{operation="verify"}'),
  };
}

function fileOf(storePath: string, digest: string): string {
  const hex = digest.slice('sha256:'.length);
  return join(storePath, 'blobs-v1', 'sha256', hex.slice(0, 2), hex);
}

/** Only writes: a foreign reader would make the mirror forget when the file was last verified. */
async function flip(path: string, at: number, content: BlobContent): Promise<void> {
  const file = await open(path, 'r+');
  const [byte = 0] = content.slice(at, at + 1);
  await file.write(Buffer.of(byte ^ 4), 0, 1, at);
  await file.close();
}

async function quarantined(storePath: string): Promise<string[]> {
  return (await filesUnder(storePath)).filter(file => file.startsWith('quarantine-v1'));
}

function expectWhole(result: CallResult, digest: string): void {
  expect(result).toMatchObject({ status: 200, sha256: digest, end: 'complete' });
}

test.each([0, large.size / 2, large.size - 1])(
  'a bit flipped at %i is found at the next due check: no client gets it whole, the next pull is healed',
  async at => {
    const rig = await start();
    await rig.flip(large, at);
    rig.clock.advance(dueMs);
    const first = await rig.blob(large);
    if (first.end === 'complete') expect(first.sha256).toBe(large.digest);
    else expect(first).toMatchObject({ status: 200, end: 'fin-early' });
    expectWhole(await rig.blob(large), large.digest);
    expect(rig.lines()).toEqual([blobLine(large.digest)]);
    expect(await rig.found()).toBe(1);
    expect(
      rig.mirror.log.filter(line => line['msg'] === 'a held file is bad, it will be fetched again'),
    ).toHaveLength(1);
  },
);

test('a client that has begun when it is found is cut by FIN, and gets the whole instead of a tail when it resumes', async () => {
  const rig = await start();
  const huge = patternBlob('damaged huge', 32_000_000); // more than the sockets take
  rig.upstream.putBlob('library/app', huge.digest, huge);
  await rig.blob(huge);
  await rig.stored();
  await rig.flip(huge, huge.size - 1);
  rig.clock.advance(dueMs);
  const call = request(rig.mirror.url, { path: pathOf(huge.digest), keep: false });
  await call.firstByte;
  call.pause();
  await expect.poll(rig.found).toBe(1);
  call.resume();
  const cut = await call.done;
  expect(cut).toMatchObject({ status: 200, end: 'fin-early' });
  const resumed = await rig.blob(huge, { headers: { Range: `bytes=${cut.bytes}-` } });
  expectWhole(resumed, huge.digest);
  expect(rig.lines()).toEqual([blobLine(huge.digest), blobLine(huge.digest)]);
});

test('not a wrong byte of a small blob goes out: it is fetched in the same request', async () => {
  const rig = await start();
  await rig.flip(small, 99_999);
  rig.clock.advance(dueMs);
  expectWhole(await rig.blob(small), small.digest);
  expectWhole(await rig.blob(small), small.digest);
  expect(rig.lines()).toEqual([blobLine(small.digest)]);
});

test('a range of a small blob is as good as the whole; one of a large blob begins a check in the background', async () => {
  const rig = await start();
  for (const blob of [small, large]) await rig.flip(blob, 50);
  rig.clock.advance(dueMs);
  const part = await get(rig.mirror.url, pathOf(small.digest), { headers: { Range: 'bytes=0-99' } });
  expect(part.status).toBe(206);
  expect(part.body).toEqual(small.slice(0, 100));
  await rig.blob(large, { headers: { Range: 'bytes=1000000-1000999' } });
  await expect.poll(rig.found).toBe(2);
  expectWhole(await rig.blob(large), large.digest);
  expect(rig.lines()).toEqual([
    blobLine(small.digest, 'bytes=0-99'),
    blobLine(small.digest, 'bytes=100-'), // all of it is verified before these hundred bytes go out
    blobLine(large.digest),
  ]);
});

test('a range with the last byte waits for the check', async () => {
  const rig = await start();
  await rig.flip(large, 50);
  rig.clock.advance(dueMs);
  const tail = await get(rig.mirror.url, pathOf(large.digest), { headers: { Range: 'bytes=-1' } });
  expect(tail.status).toBe(206);
  expect(tail.body).toEqual(large.slice(large.size - 1, large.size));
  expect(rig.lines()).toEqual([blobLine(large.digest)]);
});

test.each([
  ['small', small],
  ['large', large],
])(
  'twenty clients at once on a bad %s blob: none gets it whole, one transfer heals it',
  async (_name, blob) => {
    const rig = await start();
    await rig.flip(blob, 17);
    rig.clock.advance(dueMs);
    const calls = requestMany(20, rig.mirror.url, { path: pathOf(blob.digest) });
    for (const result of await Promise.all(calls.map(call => call.done))) {
      if (result.end === 'complete') expect(result.sha256).toBe(blob.digest);
      else expect(blob).toBe(large);
    }
    expectWhole(await rig.blob(blob), blob.digest);
    expect(rig.lines()).toEqual([blobLine(blob.digest)]);
    expect(await rig.found()).toBe(1);
  },
);

test('long before it is due, a client that asks twice within a minute makes it checked', async () => {
  const rig = await start();
  rig.clock.advance(2 * minuteMs);
  await rig.flip(small, 1);
  const wrong = await rig.blob(small);
  expect(wrong).toMatchObject({ status: 200, end: 'complete' });
  expect(wrong.sha256).not.toBe(small.digest);
  rig.clock.advance(minuteMs);
  expectWhole(await rig.blob(small), small.digest);
  expect(rig.lines()).toEqual([blobLine(small.digest)]);
});

test('a good blob that is asked for again and again is compared once, and nothing is fetched', async () => {
  const rig = await start();
  for (let count = 0; count < 5; count += 1) expectWhole(await rig.blob(large), large.digest);
  await rig.flip(large, 1); // so that one more comparison would show
  expect((await rig.blob(large)).end).toBe('complete');
  expect(await rig.found()).toBe(0);
  expect(rig.lines()).toEqual([]);
});

test('a blob that is not due costs one fstat, and a read for each buffer', async () => {
  const rig = await start();
  rig.clock.advance(2 * minuteMs);
  const probe = await open(rig.fileOf(small.digest));
  onTestFinished(() => probe.close());
  const calls: string[] = [];
  const prototype = Object.getPrototypeOf(probe);
  for (const name of ['stat', 'read'] as const) {
    const original = prototype[name];
    const spy = vi.spyOn(prototype, name).mockImplementation(function (this: unknown, ...args: unknown[]) {
      calls.push(name);
      return original.apply(this, args);
    });
    onTestFinished(() => spy.mockRestore());
  }
  expectWhole(await rig.blob(large), large.digest);
  const reads = Math.ceil(large.size / (512 * 1024));
  expect(calls).toEqual(['stat', ...Array.from({ length: reads }, () => 'read')]);
});

test('HEAD verifies nothing', async () => {
  const rig = await start();
  await rig.flip(small, 1);
  rig.clock.advance(dueMs);
  const answer = await head(rig.mirror.url, pathOf(small.digest));
  expect([answer.status, answer.headers.get('content-length')]).toEqual([200, String(small.size)]);
  expect(await rig.found()).toBe(0);
  expect(rig.lines()).toEqual([]);
});

test('while the upstream is away, a bad blob is as one that is not held', async () => {
  const rig = await start();
  for (const blob of [small, large]) await rig.flip(blob, 1);
  await rig.upstream.refuse();
  rig.clock.advance(dueMs);
  expect((await rig.blob(small)).status).toBe(404);
  expect((await rig.blob(large)).end === 'complete' && 200).not.toBe(200);
  expect((await rig.blob(large)).status).toBe(404);
  expect((await head(rig.mirror.url, pathOf(small.digest))).status).toBe(404);
});

test('a damaged manifest is never served: fetched again, or 503 while that cannot be', async () => {
  const rig = await start();
  const manifestPath = `/v2/library/app/manifests/${image.digest}`;
  await get(rig.mirror.url, manifestPath);
  await rig.mirror.close(); // or it would be in memory
  const again = () =>
    startTestMirror({ upstream: rig.upstream, now: rig.clock.now, storePath: rig.mirror.storePath });
  const file = rig.fileOf(image.digest);

  await flip(file, 30, bytesBlob(image.bytes));
  const second = await again();
  expect((await get(second.url, manifestPath)).body).toEqual(image.bytes);
  expect(await second.metric('cistern_store_errors_total{operation="verify"}')).toBe(1);
  expect(await readFile(file)).toEqual(image.bytes);
  await second.close();
  expect(rig.lines()).toEqual([manifestLine(image.digest), manifestLine(image.digest)]);

  await rm(file);
  await mkdir(file); // which can be opened, and not be read
  const third = await again();
  expect((await get(third.url, manifestPath)).body).toEqual(image.bytes);
  expect(await readFile(file)).toEqual(image.bytes);
  await third.close();

  await flip(file, 30, bytesBlob(image.bytes));
  await rig.upstream.refuse();
  expect((await get((await again()).url, manifestPath)).status).toBe(503);
});

test('when a blob was last found good survives a restart, whatever is used and written in between', async () => {
  const rig = await start();
  rig.clock.advance(dueMs);
  expectWhole(await rig.blob(large), large.digest);
  await rig.mirror.close();
  const again = () =>
    startTestMirror({ upstream: rig.upstream, now: rig.clock.now, storePath: rig.mirror.storePath });
  await rig.flip(large, 1);
  rig.clock.advance(29 * dayMs);
  const second = await again();
  expect((await get(second.url, pathOf(large.digest), { keep: false })).end).toBe('complete'); // not due
  await second.close(); // writes its use down
  rig.clock.advance(2 * dayMs);
  const third = await again();
  await get(third.url, pathOf(large.digest), { keep: false });
  expect(await third.metric('cistern_store_errors_total{operation="verify"}')).toBe(1);
  expectWhole(await get(third.url, pathOf(large.digest), { keep: false }), large.digest);
});

test('verify_after: 0: no age makes a blob be compared', async () => {
  const rig = await start({ config: { store: { verify_after: 0 } } });
  await rig.flip(small, 1);
  rig.clock.advance(10_000 * dayMs);
  expect((await rig.blob(small)).end).toBe('complete');
  expect(await rig.found()).toBe(0);
});

test.each([
  ['shorter', (file: string) => truncate(file, 3_000_000)],
  ['longer', (file: string) => truncate(file, 6_000_000)],
  ['replaced by a folder', (file: string) => rm(file).then(() => mkdir(file))],
])('a file that is %s than what was stored is not opened for any client', async (_how, damage) => {
  const rig = await start();
  await damage(rig.fileOf(large.digest));
  expectWhole(await rig.blob(large), large.digest);
  expect(rig.lines()).toEqual([blobLine(large.digest)]);
  expect(await rig.found()).toBe(1);
  await rig.stored();
  expect((await stat(rig.fileOf(large.digest))).size).toBe(large.size);
});

test('a folder in the place of a blob gives way to the transfer, although the quarantine can not be used', async () => {
  const rig = await start();
  await rm(rig.fileOf(large.digest));
  await mkdir(rig.fileOf(large.digest));
  await writeFile(join(rig.mirror.storePath, 'quarantine-v1'), 'in the way');
  for (let count = 0; count < 2; count += 1) {
    expectWhole(await rig.blob(large), large.digest);
    await rig.stored();
  }
  expect(rig.lines()).toEqual([blobLine(large.digest)]);
});

test('HEAD does not tell the length of a file that cannot be right', async () => {
  const rig = await start();
  await truncate(rig.fileOf(small.digest), 1000);
  const answer = await head(rig.mirror.url, pathOf(small.digest));
  expect([answer.status, answer.headers.get('content-length')]).toEqual([200, String(small.size)]);
  expect(rig.lines()).toEqual([`HEAD ${blobLine(small.digest).slice(4)}`]);
});

test('after a restart only a manifest knows the right length: then all of the file is compared first', async () => {
  const rig = await start();
  await truncate(rig.fileOf(large.digest), 3_000_000);
  await rig.mirror.close();
  const second = await startTestMirror({
    upstream: rig.upstream,
    now: rig.clock.now,
    storePath: rig.mirror.storePath,
  });
  await second.settled();
  await get(second.url, '/v2/library/app/manifests/latest');
  expectWhole(await get(second.url, pathOf(large.digest), { keep: false }), large.digest);
  expect(rig.lines()).toEqual([manifestLine('latest'), blobLine(large.digest)]);
});

test('a file that is cut while it is read ends the body, and is fetched again', async () => {
  const rig = await start();
  const huge = patternBlob('damaged huge', 32_000_000);
  rig.upstream.putBlob('library/app', huge.digest, huge);
  await rig.blob(huge);
  await rig.stored();
  rig.clock.advance(2 * minuteMs);
  const call = request(rig.mirror.url, { path: pathOf(huge.digest), keep: false });
  await call.firstByte;
  call.pause();
  await truncate(rig.fileOf(huge.digest), huge.size - 10);
  call.resume();
  expect(await call.done).toMatchObject({ status: 200, end: 'fin-early' });
  expectWhole(await rig.blob(huge), huge.digest);
  expect(rig.lines()).toEqual([blobLine(huge.digest), blobLine(huge.digest)]);
});

test('a partial that cannot be opened stays, and goes on being counted', async () => {
  const upstream = await startFakeUpstream();
  upstream.put('library/app', image, 'latest');
  let aheadMs = 0;
  const now = () => Date.now() + aheadMs;
  const mirror = await startTestMirror({ upstream, now, hub: { timeouts: { give_up: '1ms' } } });
  await Promise.all([mirror.settled(), get(mirror.url, '/v2/library/app/manifests/latest')]); // the size is known
  upstream.fault({ digest: large.digest }, cut(3_000_000));
  const fault = upstream.fault({ digest: large.digest }, answer(500), { times: 'always', nth: 2 });
  expect((await get(mirror.url, pathOf(large.digest))).end).toBe('fin-early');
  await expect.poll(() => mirror.metric('cistern_downloads_active{upstream="docker.io"}')).toBe(0);
  const counted = await mirror.metric('cistern_store_bytes');
  expect(counted).toBeGreaterThan(1_000_000);
  fault.remove();
  aheadMs = minuteMs; // what failed a moment ago may be asked again
  const probe = await open(mirror.storePath);
  const truncated = vi.spyOn(Object.getPrototypeOf(probe), 'truncate');
  await probe.close();
  onTestFinished(() => truncated.mockRestore());
  truncated.mockRejectedValueOnce(Object.assign(new Error('injected'), { code: 'EIO' }));
  expectWhole(await get(mirror.url, pathOf(large.digest), { keep: false }), large.digest);
  expect(truncated).toHaveBeenCalledOnce();
  await expect.poll(() => mirror.metric('cistern_store_bytes')).toBe(counted);
});

test('a bad file is kept aside and counted, and no longer held', async () => {
  const rig = await start();
  const held = await rig.mirror.metric('cistern_store_bytes');
  await rig.flip(small, 1);
  rig.clock.advance(dueMs);
  await rig.upstream.refuse();
  await rig.blob(small);
  const [kept, ...others] = await quarantined(rig.mirror.storePath);
  expect(others).toEqual([]);
  expect(kept).toContain(small.digest.replace(':', '-'));
  expect((await readFile(join(rig.mirror.storePath, kept ?? ''))).subarray(2)).toEqual(
    small.slice(2, small.size),
  );
  expect(await rig.mirror.metric('cistern_store_bytes')).toBe(held);
  expect(await rig.mirror.metric('cistern_store_blobs')).toBe(1);
  await rig.mirror.close();
  const second = await startTestMirror({ upstream: rig.upstream, storePath: rig.mirror.storePath });
  await second.settled();
  expect(await second.metric('cistern_store_bytes')).toBe(held);
});
