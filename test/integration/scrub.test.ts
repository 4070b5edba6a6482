/**
 * The scrub of a mirror and of a private registry: what is flipped, cut or gone on the disk is found; what is cached comes again at the
 * cost of one question each, what was pushed stays as it is until it is pushed again.
 */
import { open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { StatsReport } from '../../src/admin/admin.ts';
import { askDaemon, type Question } from '../../src/cli/socket/ask-daemon.ts';
import { digestOf } from '../../src/oci/digest.ts';
import type { ScrubReport } from '../../src/registry/scrub-report.ts';
import { runCistern } from '../support/cistern-command.ts';
import { get, head } from '../support/client.ts';
import { digestsOf, pushImage } from '../support/collection-soak.ts';
import { patternBlob } from '../support/content.ts';
import { type BuiltImage, buildImage } from '../support/images.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { blobLine, manifestLine } from '../support/request-log.ts';
import { filesUnder } from '../support/temp-dir.ts';
import { TestClock } from '../support/test-clock.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const large = patternBlob('scrub large', 3_000_000);
const small = patternBlob('scrub small', 100_000);
const image = buildImage({ layers: [large, small] });
const accept = { accept: 'application/vnd.oci.image.manifest.v1+json' };
const hosted = { hosted: { repositories: ['team/**'] }, upstreams: {} };

function fileOf({ storePath }: Pick<TestMirror, 'storePath'>, digest: string): string {
  const hex = digest.slice('sha256:'.length);
  return join(storePath, 'blobs-v1', 'sha256', hex.slice(0, 2), hex);
}

async function flip(path: string): Promise<void> {
  const at = 20;
  const [byte = 0] = (await readFile(path)).subarray(at, at + 1);
  const file = await open(path, 'r+');
  await file.write(Buffer.of(byte ^ 4), 0, 1, at);
  await file.close();
}

/** As the command does, without a process. */
async function scrub(
  { storePath }: Pick<TestMirror, 'storePath'>,
  question: Question = {},
): Promise<ScrubReport> {
  const socket = join(storePath, 'owner.sock');
  const { status, body } = await askDaemon(socket, 'POST', '/api/v1/scrub', { body: {}, ...question });
  expect([status, status === 200 ? '' : String(body)]).toEqual([200, '']);
  return JSON.parse(String(body));
}

async function stats({ storePath }: Pick<TestMirror, 'storePath'>): Promise<StatsReport> {
  const { body } = await askDaemon(join(storePath, 'owner.sock'), 'GET', '/api/v1/stats');
  return JSON.parse(String(body));
}

async function startCached() {
  const upstream = await startFakeUpstream();
  upstream.put('library/app', image, 'latest');
  const mirror = await startTestMirror({ upstream });
  await pull(mirror);
  const wasAsked = () => upstream.lines().length;
  let before = wasAsked();
  return {
    upstream,
    mirror,
    /** Since the last call. */
    lines: () => {
      const lines = upstream.lines().slice(before);
      before = wasAsked();
      return lines;
    },
  };
}

async function pull({ url, metric }: Pick<TestMirror, 'url' | 'metric'>): Promise<void> {
  const manifest = await get(url, `/v2/library/app/manifests/latest`, { headers: accept });
  expect([manifest.status, manifest.sha256]).toEqual([200, image.digest]);
  for (const { descriptor } of image.blobs) {
    const { status, sha256, end } = await get(url, `/v2/library/app/blobs/${descriptor.digest}`);
    expect([status, sha256, end]).toEqual([200, descriptor.digest, 'complete']);
  }
  await expect.poll(() => metric('cistern_downloads_active{upstream="docker.io"}')).toBe(0);
}

function bytesOf({ blobs }: BuiltImage): number {
  return blobs.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
}

async function expectRight(mirror: Pick<TestMirror, 'storePath'>): Promise<void> {
  for (const digest of digestsOf(image)) {
    const bytes = await readFile(fileOf(mirror, digest));
    expect(digestOf(bytes)).toBe(digest);
  }
}

async function quarantined({ storePath }: Pick<TestMirror, 'storePath'>): Promise<number> {
  return (await filesUnder(storePath)).filter(file => file.startsWith('quarantine-v1')).length;
}

test('cached: flipped and cut, blobs and a manifest: set aside, and fetched again with one question each', async () => {
  const { upstream, mirror: first } = await startCached();
  const { storePath } = first;
  await first.close(); // the manifest leaves the memory
  await flip(fileOf(first, large.digest));
  await truncate(fileOf(first, small.digest), 50_000);
  await flip(fileOf(first, image.digest));
  const mirror = await startTestMirror({ upstream, storePath });
  await mirror.settled();
  const before = upstream.lines().length;
  const report = await scrub(mirror);
  const bad = [large.digest, small.digest, image.digest].sort();
  expect(report).toMatchObject({ resumed: false, files: 4, damaged: [] });
  expect(report.findings.map(({ digest }) => digest)).toEqual(bad);
  for (const finding of report.findings)
    expect(finding).toMatchObject({
      owner: 'cached',
      problem: 'damaged',
      result: 'fetched',
      repositories: ['docker.io/library/app'],
      reason: null,
    });
  const expected = bad.map(digest => (digest === image.digest ? manifestLine(digest) : blobLine(digest)));
  expect(upstream.lines().slice(before)).toEqual(expected);
  await expectRight(mirror);
  expect(await quarantined(mirror)).toBe(3);
  await pull(mirror);
  expect(upstream.lines().slice(before)).toEqual(expected);
  expect(await mirror.metric('cistern_scrub_findings_total{owner="cached",problem="damaged"}')).toBe(3);
  expect(await mirror.metric('cistern_scrub_fetched_total')).toBe(3);
  expect(await mirror.metric('cistern_scrub_last_seconds')).toBeGreaterThan(1_700_000_000);
  expect(await scrub(mirror)).toMatchObject({ resumed: false, files: 4, findings: [] });
  expect(upstream.lines().slice(before)).toEqual(expected);
});

test('cached: a manifest that is in memory is written again from there, without a question', async () => {
  const { mirror, lines } = await startCached();
  await flip(fileOf(mirror, image.digest));
  const { findings } = await scrub(mirror);
  expect(findings).toMatchObject([{ digest: image.digest, result: 'restored' }]);
  await expectRight(mirror);
  expect(lines()).toEqual([]);
});

test('cached: while its upstream is away, a bad file is only set aside, and the next pull fetches it', async () => {
  const { upstream, mirror, lines } = await startCached();
  await flip(fileOf(mirror, large.digest));
  await upstream.refuse();
  const { findings, damaged } = await scrub(mirror);
  expect(findings).toMatchObject([{ digest: large.digest, result: 'set-aside' }]);
  expect([damaged, typeof findings[0]?.reason]).toEqual([[], 'string']);
  expect(await quarantined(mirror)).toBe(1);
  await upstream.accept();
  lines();
  await expect
    .poll(async () => (await get(mirror.url, `/v2/library/app/blobs/${large.digest}`)).sha256)
    .toBe(large.digest);
  await expect.poll(() => mirror.metric('cistern_downloads_active{upstream="docker.io"}')).toBe(0);
  await expectRight(mirror);
});

test('pushed: flipped, cut, emptied and gone: kept as it is, told loudly, 404 across a restart, healed by a push', async () => {
  const more = buildImage({ layers: ['emptied', 'gone'] });
  const [, emptied, gone] = more.blobs;
  const first = await startTestMirror({ config: hosted });
  expect(await pushImage(first, 'team/app', image, 'v1')).toBe(201);
  expect(await pushImage(first, 'team/more', more, 'v1')).toBe(201);
  await flip(fileOf(first, large.digest));
  await truncate(fileOf(first, small.digest), 50_000);
  await writeFile(fileOf(first, String(emptied?.descriptor.digest)), '');
  await rm(fileOf(first, String(gone?.descriptor.digest)));
  const damagedBytes = await readFile(fileOf(first, large.digest));

  const report = await scrub(first);
  const problems = new Map(report.damaged.map(({ digest, problem }) => [digest, problem]));
  expect(problems).toEqual(
    new Map([
      ...[large.digest, small.digest].sort().map(digest => [digest, 'damaged'] as const),
      ...[emptied, gone].map(blob => [String(blob?.descriptor.digest), 'missing'] as const),
    ]),
  );
  expect(report.findings.every(({ result, owner }) => result === 'kept' && owner === 'hosted')).toBe(true);
  expect(report.damaged.map(({ repositories }) => repositories.join()).sort()).toEqual([
    'team/app',
    'team/app',
    'team/more',
    'team/more',
  ]);
  expect(await quarantined(first)).toBe(0);
  expect((await readFile(fileOf(first, large.digest))).equals(damagedBytes)).toBe(true);
  const loud = first.log.filter(
    ({ msg, level }) => level === 'error' && /^a pushed file is /.test(String(msg)),
  );
  expect(loud.length).toBeGreaterThanOrEqual(4);
  expect(await first.metric('cistern_scrub_damaged_files')).toBe(4);
  await first.close();

  const mirror = await startTestMirror({ config: hosted, storePath: first.storePath });
  await mirror.settled();
  const { daemon } = await stats(mirror);
  expect(daemon?.scrub).toMatchObject({ running: null, damagedFiles: 4 });
  for (const { digest } of [large, small]) {
    expect((await head(mirror.url, `/v2/team/app/blobs/${digest}`)).status).toBe(404);
    expect((await get(mirror.url, `/v2/team/app/blobs/${digest}`)).status).toBe(404);
  }
  const again = await scrub(mirror);
  expect(again.damaged).toHaveLength(4);
  const told = await runCistern(mirror.file, 'scrub');
  expect([told.code, told.stdout]).toEqual([1, expect.stringContaining('of team/app')]);

  expect(await pushImage(mirror, 'team/app', image, 'v1')).toBe(201);
  expect(await pushImage(mirror, 'team/more', more, 'v1')).toBe(201);
  expect((await get(mirror.url, `/v2/team/app/blobs/${large.digest}`)).sha256).toBe(large.digest);
  await expectRight(mirror);
  expect(await mirror.metric('cistern_scrub_damaged_files')).toBe(0);
  expect(await scrub(mirror)).toMatchObject({ findings: [], damaged: [] });
  expect((await stats(mirror)).daemon?.scrub.damagedFiles).toBe(0);
});

test('ended in the middle, by a restart and by its client: the next run goes on there, and reads nothing twice', async () => {
  const layers = Array.from({ length: 6 }, (_, index) => patternBlob(`slow ${index}`, 100_000));
  const many = buildImage({ layers });
  const upstream = await startFakeUpstream();
  upstream.put('library/many', many, 'latest');
  const store = { scrub: { rate: '100KB/s' } }; // the first files are free, each other one takes a second
  const first = await startTestMirror({ upstream, config: { store } });
  for (const { descriptor } of many.blobs)
    await get(first.url, `/v2/library/many/blobs/${descriptor.digest}`, { keep: false });
  await expect.poll(() => first.metric('cistern_downloads_active{upstream="docker.io"}')).toBe(0);

  const stop = new AbortController();
  const onProgress = () => stop.abort();
  await expect(scrub(first, { stop: stop.signal, onProgress })).rejects.toThrow();
  const running = scrub(first, { onProgress: () => void first.close() });
  await expect(running).rejects.toThrow();
  await first.close();
  const state = await readFile(join(first.storePath, 'scrub'), 'utf8');
  const read = Number(JSON.parse(state.slice('12345678 '.length)).position.files);
  expect(read).toBeGreaterThanOrEqual(2); // one at least by each of the two
  expect(read).toBeLessThan(7);

  const mirror = await startTestMirror({ upstream, storePath: first.storePath, config: { store } });
  const rest = await scrub(mirror, { body: { bytesPerSecond: 0 } });
  expect(rest.resumed).toBe(true);
  expect(rest.files + read).toBe(7);
  const all = await scrub(mirror, { body: { bytesPerSecond: 0 } });
  expect(all).toMatchObject({ resumed: false, files: 7, bytes: bytesOf(many) });
});

test('by itself: every so often, and once more after a restart that ended it', async () => {
  const clock = new TestClock();
  const upstream = await startFakeUpstream();
  upstream.put('library/app', image, 'latest');
  const config = { store: { scrub: { every: '2h', rate: 0 } } };
  const mirror = await startTestMirror({ upstream, now: clock.now, timers: clock, config });
  await pull(mirror);
  const compared = () => mirror.metric('cistern_scrub_bytes_total');
  await clock.advance(90 * 60_000); // 15 min, 75 min: not due yet
  expect(await compared()).toBe(0);
  await clock.advance(60 * 60_000);
  await expect.poll(async () => (await stats(mirror)).daemon?.scrub.endedAt).not.toBeNull();
  const once = await compared();
  expect(once).toBe(bytesOf(image) + image.bytes.length);
  await clock.advance(60 * 60_000);
  expect(await compared()).toBe(once);
});

test('without a daemon: what is cached is set aside, what was pushed is told, with the exit code', async () => {
  const { mirror } = await startCached();
  await mirror.close();
  await flip(fileOf(mirror, large.digest));
  const { code, stdout, stderr } = await runCistern(mirror.file, 'scrub', '--rate', '0', '--json');
  expect(code).toBe(0);
  expect(stderr).toContain('a held file is bad');
  expect(JSON.parse(stdout)).toMatchObject({
    files: 4,
    findings: [{ digest: large.digest, result: 'set-aside', reason: 'no daemon runs' }],
  });
  expect(await quarantined(mirror)).toBe(1);

  const registry = await startTestMirror({ config: hosted });
  expect(await pushImage(registry, 'team/app', image, 'v1')).toBe(201);
  await registry.close();
  await flip(fileOf(registry, small.digest));
  const told = await runCistern(registry.file, 'scrub');
  expect([told.code, told.stdout]).toEqual([1, expect.stringContaining(small.digest)]);
  expect(await quarantined(registry)).toBe(0);
  expect((await runCistern(registry.file, 'scrub', '--rate', 'fast')).code).toBe(2);
});
