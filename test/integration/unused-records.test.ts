/** Records, lists and manifests count in `max_size`; those of repositories that were not used for `store.records_ttl` go when room is needed. */
import { rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { type BuiltImage, buildImage } from '../support/images.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { filesUnder } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const dayMs = 24 * 3600_000;
const megabyte = 1_000_000;

async function pull(url: string, name: string, image: BuiltImage): Promise<void> {
  expect((await get(url, `/v2/library/${name}/manifests/latest`)).status).toBe(200);
  for (const { descriptor } of image.blobs)
    expect((await get(url, `/v2/library/${name}/blobs/${descriptor.digest}`)).status).toBe(200);
}

async function catalog({ url }: TestMirror): Promise<unknown> {
  return JSON.parse((await get(url, '/v2/_catalog')).body.toString());
}

async function bytesUnder(storePath: string): Promise<number> {
  let sum = 0;
  for (const file of await filesUnder(storePath))
    if (/^(?:blobs|records)-v1\//.test(file)) sum += (await stat(join(storePath, file))).size;
  return sum;
}

/** What the mirror counts is what is on disk. */
async function expectCounted(mirror: TestMirror): Promise<void> {
  const difference = async () =>
    (await mirror.metric('cistern_store_bytes')) - (await bytesUnder(mirror.storePath));
  await expect.poll(difference).toBe(0);
}

test('an unused repository loses its record and manifests when room is needed, not before; a used one never', async () => {
  const upstream = await startFakeUpstream();
  const names = ['old', 'used', 'new', 'last'] as const;
  const images = names.map(name => buildImage({ layers: [patternBlob(name, 3 * megabyte)] }));
  names.forEach((name, index) => {
    const image = images[index];
    if (image !== undefined) upstream.put(`library/${name}`, image, 'latest');
  });
  const [old, used, fresh, last] = images as [BuiltImage, BuiltImage, BuiltImage, BuiltImage];
  const clock = { ms: Date.now() };
  const mirror = await startTestMirror({
    upstream,
    config: { store: { max_size: '10MB' } },
    now: () => clock.ms,
  });
  await mirror.settled();
  await pull(mirror.url, 'old', old);
  await get(mirror.url, '/v2/library/old/tags/list');
  clock.ms += 10 * dayMs;
  await pull(mirror.url, 'used', used);
  clock.ms += 175 * dayMs;
  await pull(mirror.url, 'used', used);
  await pull(mirror.url, 'new', fresh);
  const all = ['docker.io/library/new', 'docker.io/library/old', 'docker.io/library/used'];
  expect(await catalog(mirror)).toEqual({ repositories: all });
  await expectCounted(mirror);

  await pull(mirror.url, 'last', last);
  await expect
    .poll(() => catalog(mirror))
    .toEqual({ repositories: ['docker.io/library/last', 'docker.io/library/new', 'docker.io/library/used'] });
  const hex = old.digest.slice('sha256:'.length);
  await expect
    .poll(async () =>
      (await filesUnder(mirror.storePath)).filter(file => /old\/|tmp-/.test(file) || file.endsWith(hex)),
    )
    .toEqual([]);
  await expectCounted(mirror);

  upstream.log.clear();
  await pull(mirror.url, 'old', old); // as if it had never been here
  expect(upstream.lines().length).toBe(1 + old.blobs.length);
});

test('_catalog is answered from memory: the folders of the records may be out of reach', async () => {
  const upstream = await startFakeUpstream();
  const image = buildImage({ layers: ['layer'] });
  upstream.put('library/alpine', image, 'latest');
  const first = await startTestMirror({ upstream });
  await pull(first.url, 'alpine', image);
  await first.close();
  const mirror = await startTestMirror({ upstream, storePath: first.storePath });
  await mirror.settled();
  const folder = join(mirror.storePath, 'records-v1');
  await rename(folder, `${folder}-away`);
  const pages = await Promise.all(Array.from({ length: 20 }, () => catalog(mirror)));
  await rename(`${folder}-away`, folder);
  expect(pages).toEqual(Array(20).fill({ repositories: ['docker.io/library/alpine'] }));
});
