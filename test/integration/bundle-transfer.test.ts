/**
 * `cistern export` and `cistern import FILE`: what one mirror holds is served by another one that never asks an upstream, whole or by
 * platform, from a file or through a pipe, with daemons and without. A second bundle holds only what is new.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { digestsIn, exportImages, filesOf, importBundle, listDigests } from '../support/bundles.ts';
import { get } from '../support/client.ts';
import { answer } from '../support/faults.ts';
import { type BuiltImage, buildArtifact, buildImage, buildIndex } from '../support/images.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { tempDir } from '../support/temp-dir.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';

const accept = {
  accept: 'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json',
};

const index = buildIndex();
const sbom = buildArtifact({ subject: index, artifactType: 'application/vnd.example.sbom' });
const signature = buildArtifact({
  subject: sbom,
  artifactType: 'application/vnd.example.signature',
  blobs: ['sig'],
});

async function startOnline(): Promise<{ upstream: FakeUpstream; mirror: TestMirror }> {
  const upstream = await startFakeUpstream();
  upstream.put('library/app', index, '1');
  upstream.put('library/app', sbom);
  upstream.put('library/app', signature);
  return { upstream, mirror: await startTestMirror({ upstream }) };
}

/** The upstream is there and would answer: none of its requests may come from this mirror. */
function startOffline(
  upstream: FakeUpstream,
  config: Readonly<Record<string, unknown>> = {},
): Promise<TestMirror> {
  return startTestMirror({ upstream, config: { offline: true, ...config } });
}

async function bundlePath(): Promise<string> {
  return join(await tempDir(), 'bundle.tar');
}

async function expectPulled(url: string, name: string, reference: string, image: BuiltImage): Promise<void> {
  const manifest = await get(url, `/v2/${name}/manifests/${reference}`, { headers: accept });
  expect([manifest.status, manifest.body]).toEqual([200, image.bytes]);
  for (const child of image.children) await expectPulled(url, name, child.digest, child);
  for (const { descriptor, content } of image.children.length > 0 ? [] : image.blobs) {
    const blob = await get(url, `/v2/${name}/blobs/${descriptor.digest}`);
    expect([blob.status, blob.body.equals(content.slice(0, content.size))]).toEqual([200, true]);
  }
}

async function referrersOf(url: string, name: string, image: BuiltImage): Promise<readonly unknown[]> {
  const answer = await get(url, `/v2/${name}/referrers/${image.digest}`);
  expect(answer.status).toBe(200);
  return JSON.parse(answer.body.toString()).manifests;
}

test('an index with referrers, fetched for the export, is served offline as if pulled, and no upstream is asked', async () => {
  const { upstream, mirror } = await startOnline();
  const bundle = await bundlePath();
  const exported = await exportImages(mirror.file, ['app:1'], bundle);
  expect(exported).toMatchObject({ code: 0, stderr: '' });
  expect(exported.stdout).toMatch(/bundle\.tar: 5 manifests and 8 blobs, \d+\.\d KiB\n$/);
  const all = [index, sbom, signature].flatMap(({ manifests, blobs }) => [...manifests, ...blobs]);
  const digests = [...new Set(all.map(({ descriptor }) => descriptor.digest))].sort();
  expect(await digestsIn(bundle)).toEqual(digests);

  const offline = await startOffline(upstream);
  const before = upstream.requests.length;
  expect(await importBundle(offline.file, bundle)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(
      `docker.io/library/app:1: imported, ${index.digest}, with 2 referrers\nblobs: ${digests.length} new`,
    ),
  });
  await expectPulled(offline.url, 'library/app', '1', index);
  const [listed, ...others] = await referrersOf(offline.url, 'library/app', index);
  expect([listed, others]).toMatchObject([
    { digest: sbom.digest, artifactType: 'application/vnd.example.sbom' },
    [],
  ]);
  expect(await referrersOf(offline.url, 'library/app', sbom)).toMatchObject([{ digest: signature.digest }]);
  await expectPulled(offline.url, 'library/app', signature.digest, signature);
  expect(upstream.requests.length).toBe(before);

  // the same after a restart, and again: nothing new
  await offline.close();
  const restarted = await startTestMirror({
    upstream,
    config: { offline: true },
    storePath: offline.storePath,
  });
  await expectPulled(restarted.url, 'library/app', '1', index);
  expect(await referrersOf(restarted.url, 'library/app', index)).toMatchObject([{ digest: sbom.digest }]);
  const again = await importBundle(restarted.file, bundle);
  expect(again.stdout).toContain(`app:1: here already`);
  expect(again.stdout).toContain(`blobs: 0 new (0 B), ${digests.length} here already`);
  expect(upstream.requests.length).toBe(before);
});

test('an index names the image for every tool: annotations, the list of docker load, and the same bytes each time', async () => {
  const { mirror } = await startOnline();
  const [one, two] = [await bundlePath(), await bundlePath()];
  await exportImages(mirror.file, ['app:1'], one, { platforms: ['linux/arm64'] });
  await exportImages(mirror.file, ['app:1'], two, { platforms: ['linux/arm64'] });
  const files = await filesOf(one);
  expect([...files.keys()].slice(0, 3)).toEqual(['oci-layout', 'index.json', 'manifest.json']);
  const { manifests } = JSON.parse(String(files.get('index.json')));
  expect(manifests.map((entry: { digest: string }) => entry.digest)).toEqual([
    index.digest,
    sbom.digest,
    signature.digest,
  ]);
  expect(manifests[0].annotations).toMatchObject({
    'org.opencontainers.image.ref.name': 'docker.io/library/app:1',
    'io.containerd.image.name': 'docker.io/library/app:1',
  });
  expect(manifests[1]).not.toHaveProperty('annotations');
  const [, arm] = index.children;
  const path = (digest: string | undefined) => `blobs/${digest?.replace(':', '/')}`;
  expect(JSON.parse(String(files.get('manifest.json')))).toEqual([
    {
      Config: path(arm?.config?.descriptor.digest),
      RepoTags: ['docker.io/library/app:1'],
      Layers: arm?.layers.map(({ descriptor }) => path(descriptor.digest)),
    },
  ]);
  expect(await filesOf(two)).toEqual(files);
});

test('--platform takes one image of an index, and the import serves that one', async () => {
  const { upstream, mirror } = await startOnline();
  const bundle = await bundlePath();
  const done = await exportImages(mirror.file, ['app:1'], bundle, { platforms: ['linux/arm64'] });
  expect(done.code).toBe(0);
  const [amd, arm] = index.children;
  if (amd === undefined || arm === undefined) throw new Error('expected two images');
  const digests = await digestsIn(bundle);
  expect(digests).toContain(arm.digest);
  expect(digests).not.toContain(amd.digest);
  expect(upstream.log.lines().filter(line => line.includes(amd.digest.slice(7, 19)))).toEqual([]);

  const offline = await startOffline(upstream);
  expect((await importBundle(offline.file, bundle)).code).toBe(0);
  const top = await get(offline.url, '/v2/library/app/manifests/1', { headers: accept });
  expect([top.status, top.body]).toEqual([200, index.bytes]);
  await expectPulled(offline.url, 'library/app', arm.digest, arm);

  const none = await exportImages(mirror.file, ['app:1'], bundle, { platforms: ['linux/s390x'] });
  expect(none).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringContaining(
      'not here: app:1: docker.io/library/app:1 has no image for linux/s390x\n',
    ),
  });
});

test('a second bundle, against the digests of the other side, holds only the new blobs', async () => {
  const { upstream, mirror } = await startOnline();
  const first = await bundlePath();
  await exportImages(mirror.file, ['app:1'], first);
  const offline = await startOffline(upstream);
  await importBundle(offline.file, first);

  const next = buildImage({ layers: ['layer shared', 'layer new'] });
  upstream.put('library/app', next, '2');
  const have = join(await tempDir(), 'have.txt');
  const { stdout } = await listDigests(offline.file);
  await writeFile(have, stdout);
  const second = await bundlePath();
  const done = await exportImages(mirror.file, ['app:1', 'app:2'], second, { have });
  expect(done).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('left out, which the other side has'),
  });
  const [, layer] = next.layers;
  const fresh = [next.digest, next.config?.descriptor.digest, layer?.descriptor.digest].sort();
  expect(await digestsIn(second)).toEqual(fresh);
  expect((await filesOf(second)).get('manifest.json')).toBeUndefined(); // no image is whole in it

  const got = await importBundle(offline.file, second);
  expect(got).toMatchObject({ code: 0, stdout: expect.stringContaining('app:1: here already') });
  await expectPulled(offline.url, 'library/app', '2', next);

  const empty = await startOffline(upstream);
  const refused = await importBundle(empty.file, second);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain(`docker.io/library/app:1 lacks ${index.digest} (manifest)`);
  expect(await get(empty.url, '/v2/library/app/manifests/2', { headers: accept })).toMatchObject({
    status: 503,
  });
});

test('through a pipe, from a daemon into a store without one', async () => {
  const { upstream, mirror } = await startOnline();
  const target = await startOffline(upstream);
  await target.close(); // its store and configuration stay
  const pipe = new PassThrough();
  const [exported, imported] = await Promise.all([
    exportImages(mirror.file, ['app:1'], '-', { stdout: pipe }),
    importBundle(target.file, '-', { stdin: pipe }),
  ]);
  expect([exported.code, exported.stdout, imported.code]).toEqual([0, '', 0]);
  expect(exported.stderr).toMatch(/^written: 5 manifests and 8 blobs/);
  const before = upstream.requests.length;
  const there = await startTestMirror({ upstream, config: { offline: true }, storePath: target.storePath });
  await expectPulled(there.url, 'library/app', '1', index);
  expect(await referrersOf(there.url, 'library/app', index)).toMatchObject([{ digest: sbom.digest }]);

  // and out of a store without a daemon: all of it is held, so no upstream is needed
  await there.close();
  const bundle = await bundlePath();
  expect((await exportImages(there.file, ['app:1'], bundle)).code).toBe(0);
  expect(await digestsIn(bundle)).toHaveLength(13);
  expect(upstream.requests.length).toBe(before);
});

test('what can not be had is listed, and no file is written: by a daemon whose upstream lacks it, and by a store alone', async () => {
  const { upstream, mirror } = await startOnline();
  const image = buildImage({ layers: ['here', 'gone'] });
  upstream.put('library/cut', image, '1');
  const [, gone] = image.layers;
  const digest = gone?.descriptor.digest ?? '';
  upstream.content.removeBlob('library/cut', digest);
  const bundle = await bundlePath();
  const first = await exportImages(mirror.file, ['cut:1', 'nosuch:1', 'app:1'], bundle);
  expect(first.code).toBe(1);
  expect(first.stderr).toContain('not here: nosuch:1: ');
  expect(first.stderr).toContain(`not here: ${digest} (layer) of docker.io/library/cut: `);
  expect(first.stderr).toContain(`error: 2 parts are missing, and ${bundle} was not written\n`);
  await expect(digestsIn(bundle)).rejects.toThrow('ENOENT');
  await expect(digestsIn(`${bundle}.part`)).rejects.toThrow('ENOENT');

  await mirror.close();
  const alone = await exportImages(mirror.file, ['cut:1'], bundle);
  expect(alone.stderr).toBe(
    `not here: ${digest} (layer) of docker.io/library/cut: docker.io/library/cut@${digest} is not held, and no running daemon can fetch it\nerror: 1 part is missing, and ${bundle} was not written\n`,
  );
  const unknown = await exportImages(mirror.file, ['nosuch:1'], bundle);
  expect(unknown).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('docker.io/library/nosuch:1 is not held'),
  });
});

test('a referrer that can not be had is left out with a warning, and the import has the image and its other referrers', async () => {
  const { upstream, mirror } = await startOnline();
  const lost = buildArtifact({ subject: index, blobs: ['lost'] });
  upstream.put('library/app', lost);
  upstream.fault({ kind: 'manifest', reference: lost.digest }, answer(404), { times: 'always' });
  const bundle = await bundlePath();
  const done = await exportImages(mirror.file, ['app:1'], bundle);
  expect(done).toMatchObject({
    code: 0,
    stderr: expect.stringContaining(`warning: left out: ${lost.digest}, which refers`),
  });
  const offline = await startOffline(upstream);
  await importBundle(offline.file, bundle);
  expect(await referrersOf(offline.url, 'library/app', index)).toMatchObject([{ digest: sbom.digest }]);

  // an upstream that can't be asked for the list: what is held goes along, with one warning
  const cut = await startTestMirror({
    upstream: { url: 'http://127.0.0.1:9' },
  });
  expect((await importBundle(cut.file, bundle)).code).toBe(0);
  const again = await exportImages(cut.file, ['app:1'], bundle);
  expect(again.code).toBe(0);
  expect(await digestsIn(bundle)).toHaveLength(13);
});
