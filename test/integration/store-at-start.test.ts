/** What lies in the store at the start, and what comes while it is read: counted once, under the limit, never in the way. */
import { execFileSync } from 'node:child_process';
import { mkdir, open, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { get, head } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { filesUnder, tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const size = 4_000_000;
const blob = patternBlob('at start', size);
const path = `/v2/library/big/blobs/${blob.digest}`;

/** Records count too. */
async function recordBytes(storePath: string): Promise<number> {
  const folder = join(storePath, 'records-v1');
  let sum = 0;
  for (const file of await filesUnder(folder)) sum += (await stat(join(folder, file))).size;
  return sum;
}

test('a partial that turns out to be whole is counted as the blob that it has become', async () => {
  const upstream = await startFakeUpstream();
  upstream.putBlob('library/big', blob.digest, blob);
  const storePath = join(await tempDir(), 'data');
  const name = join(storePath, 'ingest-v1', blob.digest.replace(':', '-'));
  await mkdir(join(storePath, 'ingest-v1'), { recursive: true });
  await writeFile(`${name}.part`, blob.slice(0, size));
  const synced = [[0, size]];
  const journal = {
    version: 1,
    bootId: 'another',
    digest: blob.digest,
    size,
    source: 's',
    written: [],
    synced,
  };
  await writeFile(`${name}.json`, JSON.stringify(journal));
  const mirror = await startTestMirror({ upstream, storePath });
  await mirror.settled();
  expect(await get(mirror.url, path, { keep: false })).toMatchObject({ sha256: blob.digest });
  expect(upstream.contentBytes('blob')).toBe(0);
  await expect.poll(() => mirror.metric('cistern_store_blobs')).toBe(1);
  expect(await mirror.metric('cistern_store_bytes')).toBe(size + (await recordBytes(storePath)));
});

test('a manifest that comes while the store is being read is not taken for a blob that may go', async () => {
  const upstream = await startFakeUpstream();
  const image = buildImage();
  upstream.put('library/alpine', image, 'latest');
  const storePath = join(await tempDir(), 'data');
  const folder = join(storePath, 'records-v1', 'docker.io', 'library', 'slow');
  await mkdir(folder, { recursive: true });
  execFileSync('mkfifo', [join(folder, '_record')]); // reading it waits for a writer
  const mirror = await startTestMirror({ upstream, storePath });
  expect(await get(mirror.url, '/v2/library/alpine/manifests/latest')).toMatchObject({ status: 200 });
  await (await open(join(folder, '_record'), 'w')).close();
  await mirror.settled();
  expect(await mirror.metric('cistern_store_blobs')).toBe(0);
  const difference = async () =>
    (await mirror.metric('cistern_store_bytes')) - (await recordBytes(storePath));
  await expect.poll(difference).toBe(image.bytes.length);
});

test('foreign files and folders in the store keep nothing from being counted', async () => {
  const upstream = await startFakeUpstream();
  const storePath = join(await tempDir(), 'data');
  await mkdir(join(storePath, 'ingest-v1', 'lost+found'), { recursive: true });
  const copied = join(storePath, 'records-v1', 'docker.io (copy)', 'library', 'alpine');
  await mkdir(copied, { recursive: true });
  await writeFile(join(copied, '_record'), '');
  const mirror = await startTestMirror({ upstream, storePath, config: { store: { max_size: '10MB' } } });
  await mirror.settled();
  for (let n = 0; n < 4; n += 1) {
    const one = patternBlob(`foreign ${n}`, size);
    upstream.putBlob('library/big', one.digest, one);
    const result = await get(mirror.url, `/v2/library/big/blobs/${one.digest}`, { keep: false });
    expect(result.sha256).toBe(one.digest);
    // What isn't committed yet can't be evicted for the next one.
    await expect.poll(() => mirror.metric('cistern_downloads_active{upstream="docker.io"}')).toBe(0);
  }
  await expect.poll(() => mirror.metric('cistern_evictions_total')).toBeGreaterThan(0);
  const blobs = async () => (await filesUnder(storePath)).filter(file => file.startsWith('blobs-v1'));
  await expect.poll(async () => (await blobs()).length).toBeLessThanOrEqual(2);
});

test('a blob file that cannot be opened costs a transfer, not the pull', async () => {
  const upstream = await startFakeUpstream();
  upstream.putBlob('library/big', blob.digest, blob);
  const storePath = join(await tempDir(), 'data');
  const hex = blob.digest.slice('sha256:'.length);
  const folder = join(storePath, 'blobs-v1', 'sha256', hex.slice(0, 2));
  await mkdir(folder, { recursive: true });
  await symlink(hex, join(folder, hex)); // a loop: ELOOP for every user, root too
  const mirror = await startTestMirror({ upstream, storePath });
  expect(await get(mirror.url, path, { keep: false })).toMatchObject({
    status: 200,
    sha256: blob.digest,
    end: 'complete',
  });
  expect((await head(mirror.url, path)).headers.get('content-length')).toBe(String(size));
});

test('a held layer asked for as a manifest is 404, however large it is', async () => {
  const upstream = await startFakeUpstream();
  const large = patternBlob('no manifest', 100_000_000);
  upstream.putBlob('library/big', large.digest, large);
  const mirror = await startTestMirror({ upstream });
  await get(mirror.url, `/v2/library/big/blobs/${large.digest}`, { keep: false });
  const before = process.memoryUsage().arrayBuffers;
  for (let n = 0; n < 3; n += 1) {
    const result = await get(mirror.url, `/v2/library/big/manifests/${large.digest}`);
    expect(result.status).toBe(404);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(large.size / 2);
  }
});
