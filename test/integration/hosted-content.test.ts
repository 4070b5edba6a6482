/**
 * Cached and hosted content in one store: what a hosted repository links is never evicted, nor counted in `max_size`, nor moved when
 * it is damaged; a damaged log stops every eviction until `cistern repair`. The hosted logs are written before the start.
 */
import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { parseDigest } from '../../src/oci/digest.ts';
import { runCistern } from '../support/cistern-command.ts';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { app, HostedLogRig } from '../support/hosted-log.ts';
import { type BuiltImage, buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { filesUnder } from '../support/temp-dir.ts';
import { pushBlob, send } from '../support/upload-client.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';
import { bytesOf, isOnDisk, pull } from './commands-rig.ts';

const megabyte = 1_000_000;
const config = { store: { max_size: '1MB', low_watermark: '100%' }, tags: { ttl: '1d' } };

function put(upstream: FakeUpstream, name: string, bytes = 900_000): BuiltImage {
  const image = buildImage({ layers: [patternBlob(name, bytes)] });
  upstream.put(`library/${name}`, image, 'latest');
  return image;
}

/** As if the image had been pushed to `team/app` before. */
async function link(storePath: string, image: BuiltImage): Promise<HostedLogRig> {
  const rig = await HostedLogRig.create(storePath);
  const { log } = await rig.start();
  const cause = { at: 1, how: 'push' } as const;
  for (const { descriptor } of image.blobs)
    await log.commit(app, [
      { type: 'link', digest: parseDigest(descriptor.digest), size: descriptor.size, ...cause },
    ]);
  await log.commit(app, [{ type: 'manifest', descriptor: image.descriptor, names: [], tags: [], ...cause }]);
  await log.close();
  return rig;
}

/** A store that holds `one` of the cache; `team/app` has it too. */
async function store() {
  const upstream = await startFakeUpstream();
  const one = put(upstream, 'one');
  const others = ['two', 'three', 'four'].map(name => ({ name, image: put(upstream, name) }));
  const first = await startTestMirror({ upstream, config });
  await pull(first, 'library/one', one);
  await first.close();
  const rig = await link(first.storePath, one);
  const start = async () => {
    const mirror = await startTestMirror({ upstream, config, storePath: first.storePath });
    await mirror.settled();
    return mirror;
  };
  return { upstream, one, others, start, rig, storePath: first.storePath };
}

function fileOf(storePath: string, digest: string): string {
  const hex = digest.slice('sha256:'.length);
  return join(storePath, 'blobs-v1', 'sha256', hex.slice(0, 2), hex);
}

async function areOnDisk(storePath: string, image: BuiltImage): Promise<boolean[]> {
  const parts = [...image.blobs, ...image.manifests];
  return Promise.all(parts.map(({ descriptor }) => isOnDisk(storePath, descriptor.digest)));
}

test('what a hosted repository links is never evicted with max_size at 1 MB, nor counted in it, and goes on being served', async () => {
  const { one, others, start, storePath } = await store();
  for (let restart = 0; restart < 2; restart += 1) {
    const mirror = await start();
    if (restart === 0) expect(await mirror.metric('cistern_store_blobs')).toBe(0);
    for (const { name, image } of others) {
      await pull(mirror, `library/${name}`, image);
      expect(await mirror.metric('cistern_store_bytes')).toBeLessThanOrEqual(megabyte);
    }
    expect(await mirror.metric('cistern_evictions_total')).toBeGreaterThanOrEqual(2);
    expect(await areOnDisk(storePath, one)).toEqual([true, true, true]);
    await pull(mirror, 'library/one', one);
    await mirror.close();
  }
});

test('evict by hand leaves it, with a daemon and without one', async () => {
  const { one, start, storePath } = await store();
  const [layer] = one.layers;
  if (layer === undefined) throw new Error('expected a layer');
  const mirror = await start();
  const daemon = await runCistern(mirror.file, 'evict', layer.descriptor.digest);
  expect(daemon).toMatchObject({ code: 1, stderr: expect.stringContaining('a hosted repository needs') });
  await mirror.close();
  expect((await runCistern(mirror.file, 'evict', 'one')).code).toBe(0);
  expect(await areOnDisk(storePath, one)).toEqual([true, true, true]);
});

test('a damaged log: nothing is evicted, blobs pass through, and the command repairs it while the daemon runs', async () => {
  const { one, others, start, rig, storePath } = await store();
  const before = await start();
  await pull(before, 'library/two', others[0]?.image ?? one);
  await before.close();
  for (const path of [rig.path(), join(dirname(rig.path()), '_copy')]) {
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace('"how":"push"', '"how":"puzh"'));
  }
  const mirror = await start();
  expect(mirror.log.filter(line => line['fix'] === 'cistern repair team/app')).toHaveLength(1);
  const [third] = others.slice(1);
  if (third === undefined) throw new Error('expected an image');
  for (const { descriptor } of third.image.blobs) {
    const blob = await get(mirror.url, `/v2/library/three/blobs/${descriptor.digest}`, { keep: false });
    expect(blob).toMatchObject({ status: 200, sha256: descriptor.digest });
  }
  expect(await mirror.metric('cistern_evictions_total')).toBe(0);
  expect(await areOnDisk(storePath, one)).toEqual([true, true, true]);
  expect(await areOnDisk(storePath, others[0]?.image ?? one)).toEqual([true, true, true]);

  const repaired = await runCistern(mirror.file, 'repair', 'team/app', '--json');
  expect(JSON.parse(repaired.stdout)).toMatchObject({
    repairs: [{ repository: 'team/app', manifests: 1, lostTags: [], mayMissTags: true }],
  });
  expect(repaired.code).toBe(1); // the damaged line might have named a tag
  expect((await runCistern(mirror.file, 'repair')).stdout).toBe('no hosted repository has a damaged log\n');
  await pull(mirror, 'library/three', third.image);
  expect(await mirror.metric('cistern_evictions_total')).toBeGreaterThan(0);
  expect(await areOnDisk(storePath, one)).toEqual([true, true, true]);
});

test('a missing log is repaired without a daemon too, from its copy', async () => {
  const { one, start, rig } = await store();
  const mirror = await start();
  await mirror.close();
  await rm(rig.path());
  expect(await runCistern(mirror.file, 'repair')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('team/app: open again, with 1 manifests and 0 tags\n  nothing is lost\n'),
  });
  expect(await runCistern(mirror.file, 'repair', 'team/app')).toMatchObject({ code: 1 });
  const again = await (await HostedLogRig.create(rig.layout.path)).start();
  expect(again.log.peek(app)?.manifest(parseDigest(one.digest))).toBeDefined();
});

test('a damaged file that a hosted repository links stays in its place, is told, and a download heals it', async () => {
  const { upstream, one, start, storePath } = await store();
  const [layer] = one.layers;
  if (layer === undefined) throw new Error('expected a layer');
  const { digest } = layer.descriptor;
  const path = fileOf(storePath, digest);
  const file = await open(path, 'r+');
  await file.truncate(1000);
  await file.close();
  const mirror = await start();
  const before = upstream.lines().length;
  const blob = await get(mirror.url, `/v2/library/one/blobs/${digest}`, { keep: false });
  expect(blob).toMatchObject({ status: 200, sha256: digest });
  expect(upstream.lines().length).toBeGreaterThan(before);
  expect(mirror.log.filter(line => String(line['msg']).startsWith('a pushed file is bad'))).toHaveLength(1);
  expect((await filesUnder(storePath)).filter(name => name.startsWith('quarantine-v1'))).toEqual([]);
  await expect.poll(async () => (await readFile(path)).length).toBe(layer.descriptor.size);
  expect(await mirror.metric('cistern_store_blobs')).toBe(0);
  expect(bytesOf(one)).toBeGreaterThan(900_000);
});

test('over HTTP: adopted by HEAD it leaves the cache, with its link deleted it is cache again; a pushed one goes', async () => {
  const upstream = await startFakeUpstream();
  const image = put(upstream, 'one');
  const [layer] = image.layers;
  if (layer === undefined) throw new Error('expected a layer');
  const { digest } = layer.descriptor;
  const rules = [{ repositories: ['**'], users: ['anonymous'], actions: ['pull', 'push', 'delete'] }];
  const hosted = { repositories: ['team/**'] };
  const mirror = await startTestMirror({ upstream, config: { ...config, hosted, access: { rules } } });
  await mirror.settled();
  await pull(mirror, 'library/one', image);
  const blobs = () => mirror.metric('cistern_store_blobs');
  await expect.poll(blobs).toBe(2);
  expect((await send(mirror.url, 'HEAD', `/v2/team/app/blobs/${digest}`)).status).toBe(200);
  expect(await blobs()).toBe(1);
  expect((await send(mirror.url, 'DELETE', `/v2/team/app/blobs/${digest}`)).status).toBe(202);
  await expect.poll(blobs).toBe(2);
  expect((await send(mirror.url, 'GET', `/v2/team/app/blobs/${digest}`)).status).toBe(404);
  expect((await get(mirror.url, `/v2/library/one/blobs/${digest}`, { keep: false })).sha256).toBe(digest);

  const pushed = patternBlob('pushed', 50_000);
  expect(await pushBlob(mirror.url, 'team/app', pushed)).toBe(201);
  expect([await blobs(), await isOnDisk(mirror.storePath, pushed.digest)]).toEqual([2, true]);
  expect((await send(mirror.url, 'DELETE', `/v2/team/app/blobs/${pushed.digest}`)).status).toBe(202);
  await expect.poll(() => isOnDisk(mirror.storePath, pushed.digest)).toBe(false);
  expect(await blobs()).toBe(2);
});

test('a pushed file that is cut counts as missing, stays in its place, and is healed by another push', async () => {
  const hosted = { repositories: ['team/**'] };
  const mirror = await startTestMirror({ config: { store: config.store, hosted } });
  await mirror.settled();
  const blob = patternBlob('pushed twice', 50_000);
  const path = `/v2/team/app/blobs/${blob.digest}`;
  expect(await pushBlob(mirror.url, 'team/app', blob)).toBe(201);
  const file = await open(fileOf(mirror.storePath, blob.digest), 'r+');
  await file.truncate(1000);
  await file.close();
  expect((await send(mirror.url, 'HEAD', path)).status).toBe(404);
  expect((await get(mirror.url, path)).status).toBe(404);
  expect((await readFile(fileOf(mirror.storePath, blob.digest))).length).toBe(1000);
  expect(mirror.log.filter(line => String(line['msg']).startsWith('a pushed file is bad'))).toHaveLength(1);
  expect(await pushBlob(mirror.url, 'team/app', blob)).toBe(201);
  expect((await send(mirror.url, 'HEAD', path)).status).toBe(200);
  expect((await get(mirror.url, path)).sha256).toBe(blob.digest);
});
