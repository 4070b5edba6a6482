/**
 * A random schedule of pulls, ranges, clients that leave and upstream faults, from a seed. Whatever happened in between: no
 * wrong byte, no open file, no partial and no byte that isn't counted, and every blob can be pulled at the end.
 *
 * By hand for longer: SOAK_SECONDS=60 SOAK_SEED=7 npx vitest run --config test/vitest.config.ts test/integration/soak.test.ts
 */
import { readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type CallResult, get, head, request } from '../support/client.ts';
import { type BlobContent, patternBlob } from '../support/content.ts';
import {
  answer,
  cut,
  declareLength,
  drip,
  extend,
  type Fault,
  flip,
  hangUp,
  ignoreRange,
  reset,
  stall,
  truncate,
} from '../support/faults.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { filesUnder } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const seconds = Number(process.env['SOAK_SECONDS'] ?? 3);
const firstSeed = Number(process.env['SOAK_SEED'] ?? 5);
const mebibyte = 1024 * 1024;
const sizes = [
  0,
  1,
  1000,
  mebibyte - 1,
  mebibyte,
  mebibyte + 1,
  1_500_000,
  3_000_000,
  4_000_000,
  6_000_000,
  9_000_000,
];
const limit = 20_000_000;
const repositories = ['library/one', 'library/two', 'team/three'];

/** xorshift32: the same seed, the same schedule. */
class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed * 2_654_435_761) >>> 0 || 1;
  }

  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    this.#state >>>= 0;
    return this.#state % Math.max(1, limit);
  }

  pick<T>(list: readonly T[]): T {
    const picked = list[this.below(list.length)];
    if (picked === undefined) throw new Error('expected a list with something in it');
    return picked;
  }
}

function randomFault(dice: Dice, size: number): Fault {
  const at = dice.below(size);
  return dice.pick<Fault>([
    cut(at),
    cut(at),
    reset(at),
    flip(at),
    truncate(at),
    extend(1 + dice.below(100)),
    stall(at),
    ignoreRange(),
    hangUp(),
    answer(404),
    answer(503),
    answer(401),
    declareLength(at),
    drip(64 * 1024, 1),
    { delayMs: dice.below(50) },
    { headers: { 'content-length': undefined } },
    { ...cut(at), ...ignoreRange() },
    { truncateTo: at, headers: { 'content-length': undefined } },
  ]);
}

function check(result: CallResult, blob: BlobContent, range: string): void {
  if (result.end !== 'complete') return;
  expect([200, 206, 404, 416, 503]).toContain(result.status);
  if (result.status === 200) expect(`${result.bytes} ${result.sha256}`).toBe(`${blob.size} ${blob.digest}`);
  if (result.status !== 206) return;
  const [, from, to, total] =
    /^bytes (\d+)-(\d+)\/(\d+)$/.exec(result.headers.get('content-range') ?? '') ?? [];
  expect(result.bytes).toBe(Number(to) - Number(from) + 1);
  if (Number(to) !== Number(total) - 1) return; // a range in the middle is not verified
  expect(`${range} of ${total}`).toBe(`${range} of ${blob.size}`);
  expect(result.body.equals(blob.slice(Number(from), Number(to) + 1))).toBe(true);
}

async function openFilesUnder(folder: string): Promise<string[]> {
  const fds = await readdir('/proc/self/fd').catch((): string[] => []);
  const targets = await Promise.all(fds.map(fd => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
  return targets.filter(target => target.startsWith(folder) && !target.includes('owner.sock'));
}

async function bytesOnDisk(storePath: string): Promise<number> {
  let sum = 0;
  for (const file of await filesUnder(storePath)) {
    if (!/^(?:blobs|records)-v1/.test(file) && !file.endsWith('.part')) continue;
    sum += (await stat(join(storePath, file)).catch(() => ({ size: 0 }))).size;
  }
  return sum;
}

async function expectAtRest(mirror: TestMirror, counts = true): Promise<void> {
  await expect
    .poll(() => mirror.metric('cistern_downloads_active{upstream="docker.io"}'), { timeout: 20_000 })
    .toBe(0);
  expect(await mirror.metric('cistern_download_followers{upstream="docker.io"}')).toBe(0);
  await expect.poll(() => openFilesUnder(mirror.storePath)).toEqual([]);
  // A partial that a download leaves is counted a moment after the download has ended.
  const uncounted = async () =>
    (await bytesOnDisk(mirror.storePath)) - (await mirror.metric('cistern_store_bytes'));
  if (counts) await expect.poll(uncounted).toBe(0);
}

test.each([firstSeed])('schedule %i: no wrong byte, nothing left open, nothing uncounted', async seed => {
  const dice = new Dice(seed);
  const upstream = await startFakeUpstream({ redirect: seed % 2 === 0 });
  const blobs = sizes.map((size, n) => patternBlob(`soak ${n}`, size));
  for (const repository of repositories) {
    for (const blob of blobs) upstream.putBlob(repository, blob.digest, blob);
  }
  upstream.put('library/one', buildImage({ layers: blobs.slice(6, 9) }), 'latest');
  const options = {
    upstream,
    hub: {
      finish: seed % 3 === 0 ? 'never' : 'always',
      timeouts: { stall: '200ms', give_up: '1s', first_byte: '2s' },
    },
    config: { store: { max_size: `${limit}` }, log: { level: 'warn' } },
  };
  let mirror = await startTestMirror(options);
  await mirror.settled();
  const running = new Set<Promise<void>>();
  const failures: unknown[] = [];

  const one = async (): Promise<void> => {
    const blob = dice.pick(blobs);
    const repository = dice.pick(repositories);
    const path = `/v2/${repository}/blobs/${blob.digest}`;
    if (dice.below(3) === 0)
      upstream.fault({ digest: blob.digest }, randomFault(dice, blob.size), { times: 1 + dice.below(2) });
    if (dice.below(12) === 0) return void (await get(mirror.url, '/v2/library/one/manifests/latest'));
    if (dice.below(12) === 0) return void (await head(mirror.url, path));
    const first = dice.below(blob.size + 10);
    const range = dice.pick([
      '',
      '',
      '',
      `bytes=${first}-`,
      `bytes=${first}-${first + dice.below(blob.size)}`,
      `bytes=-${1 + dice.below(blob.size + 5)}`,
      'bytes=-1',
    ]);
    const call = request(mirror.url, { path, ...(range !== '' && { headers: { Range: range } }) });
    const leaves = dice.below(4);
    if (leaves === 0) setTimeout(() => call.abort(dice.pick(['fin', 'reset'])), dice.below(30));
    if (leaves === 1) call.pause();
    if (leaves === 1) setTimeout(() => call.resume(), dice.below(300));
    check(await call.done, blob, range);
  };

  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    if (dice.below(60) === 0) await upstream.refuse();
    if (running.size >= 12) await Promise.race(running);
    const work: Promise<void> = one()
      .catch((error: unknown) => void failures.push(error))
      .finally(() => running.delete(work));
    running.add(work);
    if (dice.below(8) === 0) await upstream.accept();
    if (dice.below(4) === 0) await new Promise(resolve => setTimeout(resolve, dice.below(15)));
    expect(await mirror.metric('cistern_store_bytes')).toBeLessThanOrEqual(limit);
    if (dice.below(150) !== 0) continue;
    await mirror.close();
    await Promise.all(running);
    mirror = await startTestMirror({ ...options, storePath: mirror.storePath });
  }
  await upstream.accept();
  await Promise.all(running);
  expect([
    ...failures,
    ...mirror.log.filter(line => line['level'] === 'error' || line['level'] === 50),
  ]).toEqual([]);
  upstream.faults.clear();
  await mirror.settled();
  await expectAtRest(mirror);
  // Clients that were told that the upstream is away are told so for a while; then everything can be had again.
  for (const blob of blobs) {
    const path = `/v2/library/two/blobs/${blob.digest}`;
    await expect
      .poll(async () => (await get(mirror.url, path, { keep: false })).sha256, {
        timeout: 15_000,
        interval: 200,
      })
      .toBe(blob.digest);
  }
  await expectAtRest(mirror);
  await mirror.close();
  expect((await filesUnder(mirror.storePath)).filter(file => file.includes('tmp-'))).toEqual([]);
  const again = await startTestMirror({ ...options, storePath: mirror.storePath });
  await again.settled();
  await expectAtRest(again);
});
