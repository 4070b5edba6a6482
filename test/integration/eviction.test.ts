/** `max_size` holds at every moment, what goes is what was used least recently, and no pull fails for it. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { type BuiltImage, buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { filesUnder } from '../support/temp-dir.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';

const megabyte = 1_000_000;

async function bytesUnder(storePath: string): Promise<number> {
  let sum = 0;
  for (const file of await filesUnder(storePath)) {
    if (!file.startsWith('blobs-v1') && !file.startsWith('ingest-v1')) continue;
    if (file.endsWith('.json') || file.includes('tmp-')) continue; // journals: some hundred bytes
    sum += await stat(join(storePath, file)).then(
      found => found.size,
      () => 0,
    );
  }
  return sum;
}

async function isHeld(storePath: string, digest: string): Promise<boolean> {
  const hex = digest.slice('sha256:'.length);
  const folder = join(storePath, 'blobs-v1', 'sha256', hex.slice(0, 2));
  const names: string[] = await readdir(folder).catch(() => []);
  return names.includes(hex);
}

function put(
  upstream: FakeUpstream,
  name: string,
  layers: readonly { seed: string; megabytes: number }[],
): BuiltImage {
  const image = buildImage({
    layers: layers.map(({ seed, megabytes }) => patternBlob(seed, megabytes * megabyte)),
  });
  upstream.put(`library/${name}`, image, 'latest');
  return image;
}

async function pull(url: string, name: string, image: BuiltImage): Promise<void> {
  expect((await get(url, `/v2/library/${name}/manifests/latest`)).status).toBe(200);
  const results = await Promise.all(
    image.blobs.map(({ descriptor }) =>
      get(url, `/v2/library/${name}/blobs/${descriptor.digest}`, { keep: false }),
    ),
  );
  results.forEach((result, index) => {
    expect(result).toMatchObject({
      status: 200,
      sha256: image.blobs[index]?.descriptor.digest,
      end: 'complete',
    });
  });
}

test('200 MB of limit and 1 GB of layers: the limit holds all the time, and every pull succeeds', async () => {
  const upstream = await startFakeUpstream();
  const images = Array.from({ length: 10 }, (_, n) =>
    put(
      upstream,
      `image${n}`,
      [30, 40, 30].map((megabytes, layer) => ({ seed: `evict ${n}.${layer}`, megabytes })),
    ),
  );
  const mirror = await startTestMirror({ upstream, config: { store: { max_size: '200MB' } } });
  await mirror.settled();
  let highest = 0;
  let done = false;
  const watched = (async () => {
    while (!done) {
      highest = Math.max(highest, await bytesUnder(mirror.storePath));
      await new Promise(resolve => setTimeout(resolve, 5));
    }
  })();
  for (let n = 0; n < images.length; n += 2) {
    await Promise.all(
      [n, n + 1].map(async index => {
        const image = images[index];
        if (image !== undefined) await pull(mirror.url, `image${index}`, image);
      }),
    );
  }
  done = true;
  await watched;
  expect(highest).toBeGreaterThan(100 * megabyte);
  expect(highest).toBeLessThanOrEqual(200 * megabyte);
  expect(await mirror.metric('cistern_store_limit_bytes')).toBe(200 * megabyte);
  expect(await mirror.metric('cistern_evictions_total')).toBeGreaterThan(0);
});

test('what goes is the least recently used by a model in which a manifest touches its layers', async () => {
  const upstream = await startFakeUpstream();
  const shared = { seed: 'model shared', megabytes: 2 };
  const images = Array.from({ length: 8 }, (_, n) =>
    put(upstream, `image${n}`, [shared, { seed: `model ${n}`, megabytes: 3 + (n % 3) }]),
  );
  const clock = { ms: 1_700_000_000_000 };
  const limit = 24 * megabyte;
  const mirror = await startTestMirror({
    upstream,
    now: () => clock.ms,
    config: { store: { max_size: `${limit}`, low_watermark: '100%' }, tags: { ttl: '1d' } },
  });
  await mirror.settled();
  /** Coldest first: digest to size. */
  const model = new Map<string, number>();
  const touch = (digest: string): void => {
    const size = model.get(digest);
    if (size === undefined) return;
    model.delete(digest);
    model.set(digest, size);
  };
  let manifestBytes = 0;
  const seen = new Set<string>();
  const order = [0, 1, 2, 0, 3, 4, 0, 5, 1, 6, 0, 7, 2, 5, 3];
  for (const n of order) {
    const image = images[n];
    if (image === undefined) continue;
    clock.ms += 1000;
    await get(mirror.url, `/v2/library/image${n}/manifests/latest`);
    if (!seen.has(image.digest)) manifestBytes += image.bytes.length;
    seen.add(image.digest);
    for (const { descriptor } of image.blobs) touch(descriptor.digest);
    for (const { descriptor } of image.blobs) {
      clock.ms += 1000;
      const result = await get(mirror.url, `/v2/library/image${n}/blobs/${descriptor.digest}`, {
        keep: false,
      });
      expect(result.sha256).toBe(descriptor.digest);
      await expect.poll(() => isHeld(mirror.storePath, descriptor.digest)).toBe(true);
      if (model.has(descriptor.digest)) {
        touch(descriptor.digest);
        continue;
      }
      let held = manifestBytes + descriptor.size + [...model.values()].reduce((sum, size) => sum + size, 0);
      for (const [digest, size] of model) {
        if (held <= limit) break;
        model.delete(digest);
        held -= size;
      }
      model.set(descriptor.digest, descriptor.size);
    }
    for (const other of images) {
      for (const { descriptor } of other.blobs) {
        expect([descriptor.digest, await isHeld(mirror.storePath, descriptor.digest)]).toEqual([
          descriptor.digest,
          model.has(descriptor.digest),
        ]);
      }
    }
  }
  expect(model.has(images[0]?.layers[0]?.descriptor.digest ?? '')).toBe(true);
});

test('after a restart the order is that of the mtimes', async () => {
  const upstream = await startFakeUpstream();
  const images = Array.from({ length: 4 }, (_, n) =>
    put(upstream, `image${n}`, [{ seed: `mtime ${n}`, megabytes: 5 }]),
  );
  const clock = { ms: 1_700_000_000_000 };
  const config = { store: { max_size: '22MB', low_watermark: '100%' }, tags: { ttl: '10d' } };
  const first = await startTestMirror({ upstream, now: () => clock.ms, config });
  for (const [n, image] of images.entries()) {
    clock.ms += 1000;
    await pull(first.url, `image${n}`, image);
  }
  clock.ms += 1000;
  await pull(first.url, 'image0', images[0] ?? buildImage());
  await first.close();
  const mirror = await startTestMirror({ upstream, now: () => clock.ms, storePath: first.storePath, config });
  await mirror.settled();
  clock.ms += 1000;
  await pull(mirror.url, 'image9', put(upstream, 'image9', [{ seed: 'mtime 9', megabytes: 5 }]));
  const layers = images.map(image => image.layers[0]?.descriptor.digest ?? '');
  const held = await Promise.all(layers.map(digest => isHeld(mirror.storePath, digest)));
  expect(held).toEqual([true, false, true, true]);
});

test('a blob larger than the limit is passed through, whole and verified, by one GET', async () => {
  const upstream = await startFakeUpstream();
  const big = patternBlob('larger', 30 * megabyte);
  upstream.putBlob('library/big', big.digest, big);
  const mirror = await startTestMirror({ upstream, config: { store: { max_size: '10MB' } } });
  await mirror.settled();
  const path = `/v2/library/big/blobs/${big.digest}`;
  expect(await get(mirror.url, path, { keep: false })).toMatchObject({
    status: 200,
    sha256: big.digest,
    end: 'complete',
  });
  expect(upstream.lines()).toHaveLength(1);
  expect(await bytesUnder(mirror.storePath)).toBe(0);
});
