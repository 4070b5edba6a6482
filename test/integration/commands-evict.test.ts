/** `cistern evict`, `pin` and `unpin`: what goes, what stays, and that pins outlive everything but `unpin`. */
import { expect, test } from 'vitest';
import { runCistern, runForJson } from '../support/cistern-command.ts';
import { get, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { type BuiltImage, buildImage, buildIndex } from '../support/images.ts';
import { spawnTestMirror } from '../support/mirror.ts';
import { blobLine, manifestLine } from '../support/request-log.ts';
import { startFakeUpstream } from '../support/upstream.ts';
import { blobsOf, bytesOf, isOnDisk, pull } from './commands-rig.ts';

const hub = 'docker.io/library';
const megabyte = 1_000_000;

function layersOf(image: BuiltImage): string[] {
  return image.layers.map(({ descriptor }) => descriptor.digest);
}

test.each([{ how: 'through the daemon' }, { how: 'on the store' }])(
  'evict $how: the image goes, and of its blobs those that nothing else needs',
  async ({ how }) => {
    const upstream = await startFakeUpstream();
    const [one, two] = [buildImage({ layers: ['shared', 'one'] }), buildImage({ layers: ['shared', 'two'] })];
    upstream.put('library/one', one, 'latest');
    upstream.tag('library/one', 'same', one.digest);
    upstream.put('library/two', two, 'latest');
    let mirror = await spawnTestMirror({ upstream });
    await pull(mirror, 'library/one', one);
    await get(mirror.url, '/v2/library/one/manifests/same');
    await pull(mirror, 'library/two', two);
    if (how === 'on the store') await mirror.process.stop();

    // another tag still points to it: only the tag goes
    expect(await runForJson(mirror.file, 'evict', 'one:same')).toEqual({
      images: [{ image: `${hub}/one:same`, freedBytes: 0, tags: ['same'], manifests: 0, blobs: 0, kept: 1 }],
    });
    const [shared = '', own = ''] = layersOf(one);
    const stays = one.layers[0]?.descriptor.size ?? 0;
    expect(await runForJson(mirror.file, 'evict', `one@${one.digest}`)).toEqual({
      images: [
        {
          image: `${hub}/one@${one.digest}`,
          freedBytes: bytesOf(one) - stays,
          tags: ['latest'],
          manifests: 1,
          blobs: blobsOf(one).length - 1,
          kept: 1,
        },
      ],
    });
    const held = await Promise.all(
      [one.digest, own, shared, two.digest].map(d => isOnDisk(mirror.storePath, d)),
    );
    expect(held).toEqual([false, false, true, true]);
    // counted as it lies on the disk
    expect((await runForJson(mirror.file, 'stats'))['store']).toMatchObject({
      bytes: bytesOf(two),
      blobs: 3,
    });
    expect(await runForJson(mirror.file, 'ls', `${hub}/one`)).toEqual({ images: [] });
    expect(await runCistern(mirror.file, 'evict', 'one')).toMatchObject({
      code: 1,
      stderr: `error: ${hub}/one:latest is not held\n`,
    });

    // a pull brings it back: what stayed is not asked for
    if (how === 'on the store') mirror = await spawnTestMirror({ upstream, storePath: mirror.storePath });
    const before = upstream.lines().length;
    await pull(mirror, 'library/one', one);
    const config = one.config?.descriptor.digest ?? '';
    expect(upstream.lines().slice(before)).toEqual([manifestLine('latest'), blobLine(config), blobLine(own)]);
  },
);

test('evict: a blob by its digest, a manifest not; what is being downloaded stays', async () => {
  const upstream = await startFakeUpstream();
  const image = buildImage({ layers: ['layer'] });
  const big = patternBlob('big', 3 * megabyte);
  const running = buildImage({ layers: [big] });
  upstream.put('library/app', image, 'latest');
  upstream.put('library/running', running, 'latest');
  const mirror = await spawnTestMirror({ upstream });
  await pull(mirror, 'library/app', image);
  const [layer = ''] = layersOf(image);
  expect(await runCistern(mirror.file, 'evict', layer)).toEqual({
    code: 0,
    stdout: `${layer}: 2.0 KiB freed (0 tags, 0 manifests, 1 blob)\n`,
    stderr: '',
  });
  expect(await isOnDisk(mirror.storePath, layer)).toBe(false);
  expect((await runForJson(mirror.file, 'ls'))['images']).toMatchObject([{ complete: false }]);
  const again = await runCistern(mirror.file, 'evict', layer, image.digest);
  expect(again).toEqual({
    code: 1,
    stdout: '',
    stderr: `error: ${layer} is not held\nerror: this is the digest of a manifest and not of a blob: evict it as ${hub}/app@${image.digest}\n`,
  });

  await get(mirror.url, '/v2/library/running/manifests/latest');
  const gate = upstream.holdAfter({ digest: big.digest }, 2 * megabyte);
  const call = request(mirror.url, { path: `/v2/library/running/blobs/${big.digest}`, keep: false });
  await gate.reached;
  expect(await runForJson(mirror.file, 'evict', 'running')).toMatchObject({
    images: [{ manifests: 1, kept: 1 }],
  });
  expect(await runCistern(mirror.file, 'evict', big.digest)).toMatchObject({
    code: 1,
    stderr: `error: ${big.digest} is being downloaded, it stays\n`,
  });
  gate.release();
  expect((await call.done).sha256).toBe(big.digest);
});

test('a pinned image stays under pressure, after a restart and without its LRU index, until it is unpinned', async () => {
  const upstream = await startFakeUpstream();
  const images = Array.from({ length: 6 }, (_, n) =>
    buildImage({ layers: [patternBlob(`pin ${n}`, 4 * megabyte)] }),
  );
  for (const [n, image] of images.entries()) upstream.put(`library/image${n}`, image, 'latest');
  const config = { store: { max_size: '13MB', low_watermark: '100%' }, tags: { ttl: '1d' } };
  const first = await spawnTestMirror({ upstream, config });
  const [pinned = buildImage()] = images;
  const layer = layersOf(pinned)[0] ?? '';
  await pull(first, 'library/image0', pinned);
  expect(await runForJson(first.file, 'pin', 'image0')).toEqual({
    images: [
      {
        image: `${hub}/image0:latest`,
        digest: pinned.digest,
        changed: true,
        blobs: 2,
        missingBlobs: 0,
        heldBytes: bytesOf(pinned) - pinned.bytes.length,
      },
    ],
  });
  expect((await runCistern(first.file, 'pin', 'image0')).stdout).toBe(
    `${hub}/image0:latest: was pinned already (2 blobs, 3.8 MiB held)\n`,
  );
  // the model: two of the others beside the pinned one, the least recently used goes
  for (const n of [1, 2, 3]) await pull(first, `library/image${n}`, images[n] ?? pinned);
  const layers = images.map(image => layersOf(image)[0] ?? '');
  const held = () => Promise.all(layers.map(digest => isOnDisk(first.storePath, digest)));
  await expect.poll(held).toEqual([true, false, true, true, false, false]);
  expect(await runCistern(first.file, 'evict', 'image0')).toMatchObject({
    code: 1,
    stderr: `error: ${hub}/image0:latest is pinned: unpin it first\n`,
  });
  expect(await runCistern(first.file, 'evict', layer)).toMatchObject({
    code: 1,
    stderr: `error: ${layer} is pinned: unpin it first\n`,
  });
  expect(await runForJson(first.file, 'stats')).toMatchObject({
    store: { pinnedBytes: bytesOf(pinned) - pinned.bytes.length },
  });
  await first.process.stop('SIGKILL'); // the index was in its memory

  const second = await spawnTestMirror({ upstream, config, storePath: first.storePath });
  for (const n of [4, 5]) await pull(second, `library/image${n}`, images[n] ?? pinned);
  await expect.poll(held).toEqual([true, false, false, false, true, true]);
  expect((await runForJson(second.file, 'ls', `${hub}/image0`))['images']).toMatchObject([
    { complete: true, pinned: true },
  ]);
  await second.process.stop();

  expect((await runCistern(second.file, 'unpin', 'image0')).stdout).toBe(`${hub}/image0:latest: unpinned\n`);
  expect((await runCistern(second.file, 'unpin', 'image0')).stdout).toBe(
    `${hub}/image0:latest: was not pinned\n`,
  );
  const third = await spawnTestMirror({ upstream, config, storePath: first.storePath });
  await pull(third, 'library/image1', images[1] ?? pinned);
  await expect.poll(async () => (await held())[0]).toBe(false);
});

test('pinned on the store while no daemon runs; with nothing else left, pulls pass through and one line says why', async () => {
  const upstream = await startFakeUpstream();
  const [pinned, other, third] = [6, 5, 4].map(n =>
    buildImage({ layers: [patternBlob(`full ${n}`, n * megabyte)] }),
  );
  if (pinned === undefined || other === undefined || third === undefined) throw new Error('expected three');
  for (const [name, image] of Object.entries({ pinned, other, third }))
    upstream.put(`library/${name}`, image, 'latest');
  const config = { store: { max_size: '10MB' } };
  const first = await spawnTestMirror({ upstream, config });
  await pull(first, 'library/pinned', pinned);
  await first.process.stop();
  expect((await runCistern(first.file, 'pin', 'pinned')).code).toBe(0);

  const mirror = await spawnTestMirror({ upstream, config, storePath: first.storePath });
  await expect
    .poll(async () => (await runForJson(mirror.file, 'stats'))['store'])
    .toMatchObject({ scanned: true, pinnedBytes: expect.any(Number) });
  for (const [name, image] of Object.entries({ other, third, again: other })) {
    const digest = layersOf(image)[0] ?? '';
    await get(mirror.url, `/v2/library/${name === 'again' ? 'other' : name}/manifests/latest`);
    const path = `/v2/library/${name === 'again' ? 'other' : name}/blobs/${digest}`;
    expect((await get(mirror.url, path, { keep: false })).sha256).toBe(digest);
    expect(await isOnDisk(mirror.storePath, digest)).toBe(false);
  }
  expect(await isOnDisk(mirror.storePath, layersOf(pinned)[0] ?? '')).toBe(true);
  expect(mirror.process.lines.filter(line => line.includes('pinned blobs leave no room'))).toHaveLength(1);
});

test('a pinned index takes in the children that come later; its images can’t be evicted', async () => {
  const upstream = await startFakeUpstream();
  const index = buildIndex();
  const [first, second] = index.children;
  if (first === undefined || second === undefined) throw new Error('expected two children');
  upstream.put('library/multi', index, 'latest');
  const mirror = await spawnTestMirror({ upstream });
  await get(mirror.url, '/v2/library/multi/manifests/latest');
  await pull(mirror, `library/multi@${first.digest}`, first);
  expect(await runForJson(mirror.file, 'pin', 'multi')).toMatchObject({
    images: [{ blobs: 3, missingBlobs: 0 }],
  });
  await pull(mirror, `library/multi@${second.digest}`, second);
  for (const digest of new Set(blobsOf(index))) {
    expect(await runCistern(mirror.file, 'evict', digest)).toMatchObject({ code: 1 });
  }
  expect(await runForJson(mirror.file, 'evict', `multi@${second.digest}`)).toMatchObject({
    images: [{ freedBytes: 0, manifests: 0, blobs: 0, kept: 1 }],
  });
});
