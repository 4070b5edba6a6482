/** `cistern push` against a registry that cuts, forgets and refuses: the exact requests, and what is in the registry afterwards. */
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { hexOf } from '../../src/oci/digest.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage, buildIndex } from '../support/images.ts';
import { unusedPort } from '../support/ports.ts';
import { push, writeLayout } from '../support/push-command.ts';
import { startPushRegistry } from '../support/push-registry.ts';
import { tempDir } from '../support/temp-dir.ts';

const layer = patternBlob('pushed layer', 3_000_000);
const image = buildImage({ layers: [layer] });
const [large] = image.layers;

test('an image: blobs that are missing in one session each, its manifest last; again: nothing is sent', async () => {
  const registry = await startPushRegistry();
  const source = await writeLayout({ v1: image });
  const first = await push(source, `${registry.host}/team/app:1`);
  expect(first.stdout).toBe(`${registry.host}/team/app@${image.digest}\n`);
  expect(first.code).toBe(0);
  const layerLines = registry.lines.filter(line => line.startsWith('PATCH'));
  expect(layerLines).toEqual(['PATCH 0-999999', 'PATCH 1000000-1999999', 'PATCH 2000000-2999999']);
  expect(registry.lines.filter(line => !line.startsWith('PATCH')).sort()).toEqual(
    [
      'HEAD blob',
      'HEAD blob',
      'POST uploads',
      'POST uploads',
      'PUT session',
      'PUT session',
      'PUT manifest 1',
    ].sort(),
  );
  expect(registry.lines.at(-1)).toBe('PUT manifest 1');
  expect(registry.manifests.get('1')).toEqual({ type: image.mediaType, bytes: image.bytes });
  expect(registry.blobs.get(layer.digest)?.length).toBe(layer.size);

  registry.lines.length = 0;
  const again = await push(source, `${registry.host}/team/app:1`);
  expect(again.code).toBe(0);
  expect(registry.lines).toEqual(['HEAD blob', 'HEAD blob', 'PUT manifest 1']);
  expect(again.stderr.match(/already there/g)).toHaveLength(2);
});

test('cut twice, the upload goes on from what has arrived: each byte is sent once', async () => {
  const registry = await startPushRegistry({ cutAt: [1_300_000, 2_500_000] });
  registry.blobs.set(image.config?.descriptor.digest ?? '', Buffer.alloc(0));
  const source = await writeLayout({ v1: image });
  const { code } = await push(source, `${registry.host}/team/app:1`);
  expect(code).toBe(0);
  const uploads = registry.lines.filter(line => line !== 'HEAD blob' && !line.includes('manifest'));
  expect(uploads).toEqual([
    'POST uploads',
    'PATCH 0-999999',
    'PATCH 1000000-1999999',
    'GET session',
    'PATCH 1300000-2299999',
    'PATCH 2300000-2999999',
    'GET session',
    'PATCH 2500000-2999999',
    'PUT session',
  ]);
  expect(registry.receivedBytes).toBe(layer.size);
});

test('a session that is gone begins anew', async () => {
  const registry = await startPushRegistry({ loseSessionAt: 3 });
  const source = await writeLayout({ v1: image });
  const { code } = await push(source, `${registry.host}/team/app:1`);
  expect(code).toBe(0);
  expect(registry.blobs.get(layer.digest)?.length).toBe(layer.size);
  expect(registry.lines.filter(line => line === 'POST uploads')).toHaveLength(3);
});

test('a proxy that takes less than a chunk gets smaller ones; one that takes nothing is named', async () => {
  const registry = await startPushRegistry({ maxBody: 300_000 });
  const source = await writeLayout({ v1: image });
  expect((await push(source, `${registry.host}/team/app:1`)).code).toBe(0);
  const refused = registry.lines.filter(line => line.startsWith('413 PATCH'));
  expect([...new Set(refused)]).toEqual(['413 PATCH 0-999999', '413 PATCH 0-499999']);
  expect(registry.receivedBytes).toBe(layer.size + (image.config?.descriptor.size ?? 0));

  const tiny = await startPushRegistry({ maxBody: 50_000 });
  const { code, stderr } = await push(source, `${tiny.host}/team/app:1`);
  expect(code).toBe(1);
  expect(stderr).toContain('client_max_body_size');
});

test('a registry that wants larger chunks gets them, and its Location may name the wrong scheme', async () => {
  const registry = await startPushRegistry({ minChunk: 1_500_000, absolute: 'https' });
  const source = await writeLayout({ v1: image });
  expect((await push(source, `${registry.host}/team/app:1`)).code).toBe(0);
  expect(registry.lines.filter(line => line.startsWith('PATCH'))).toEqual([
    'PATCH 0-1499999',
    'PATCH 1500000-2999999',
  ]);
});

test('an index goes after its images, and one image of it can be pushed alone', async () => {
  const index = buildIndex();
  const [child] = index.children;
  if (child === undefined) throw new Error('expected a child');
  const registry = await startPushRegistry();
  const source = await writeLayout({ multi: index });
  expect((await push(source, `${registry.host}/team/app`)).code).toBe(0);
  const manifests = registry.lines.filter(line => line.includes('manifest'));
  expect(manifests).toHaveLength(3);
  expect(manifests.at(-1)).toBe('PUT manifest latest');

  registry.lines.length = 0;
  expect((await push(source, `${registry.host}/team/app:one`, { select: child.digest })).code).toBe(0);
  expect(registry.lines.filter(line => line.includes('manifest'))).toEqual(['PUT manifest one']);
  expect(registry.manifests.get('one')?.bytes).toEqual(child.bytes);
});

test('several images in a source: exit code 2 and their names, unless one is selected', async () => {
  const other = buildImage({ layers: ['other'] });
  const source = await writeLayout({ v1: image, v2: other });
  const registry = await startPushRegistry();
  const { code, stderr } = await push(source, `${registry.host}/team/app:1`);
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: 'error: there are several images in it: name one with --select (v1, v2)\n',
  });
  expect(registry.lines).toEqual([]);
  expect((await push(source, `${registry.host}/team/app:2`, { select: 'v2' })).code).toBe(0);
  expect(registry.manifests.get('2')?.bytes).toEqual(other.bytes);
});

test('a layout that lacks a layer, or has a cut one, sends nothing', async () => {
  const registry = await startPushRegistry();
  const source = await writeLayout({ v1: image });
  await writeFile(join(source, 'blobs', 'sha256', hexOf(layer.digest)), 'short');
  const { code, stderr } = await push(source, `${registry.host}/team/app:1`);
  expect(code).toBe(1);
  expect(stderr).toBe(`error: it is not complete: ${large?.descriptor.digest} is missing or cut off\n`);
  expect(registry.lines).toEqual([]);
});

test('a folder of files becomes an artifact of one layer, the same at each push', async () => {
  const folder = join(await tempDir(), 'models');
  await mkdir(join(folder, 'sub'), { recursive: true });
  await writeFile(join(folder, 'sub', 'weights'), patternBlob('weights', 100_000).slice(0, 100_000));
  await symlink('sub/weights', join(folder, 'latest'));
  const registry = await startPushRegistry();
  const first = await push(folder, `${registry.host}/team/models:3`);
  const again = await push(folder, `${registry.host}/team/models:4`, {
    artifactType: 'application/vnd.example.model',
  });
  expect([first.code, again.code]).toEqual([0, 0]);
  expect(again.stderr.match(/already there/g)).toHaveLength(2);
  const manifest = JSON.parse(registry.manifests.get('3')?.bytes.toString() ?? '');
  expect(manifest).toMatchObject({
    artifactType: 'application/vnd.unknown.artifact.v1',
    config: { mediaType: 'application/vnd.oci.empty.v1+json', size: 2 },
    layers: [
      {
        mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
        annotations: { 'org.opencontainers.image.title': 'models', 'io.deis.oras.content.unpack': 'true' },
      },
    ],
  });
  const other = JSON.parse(registry.manifests.get('4')?.bytes.toString() ?? '');
  expect(other).toEqual({ ...manifest, artifactType: 'application/vnd.example.model' });
});

test('Basic and token logins; without one, and with a wrong one, a sentence and exit code 1', async () => {
  const source = await writeLayout({ v1: image });
  const right = `Basic ${Buffer.from('jo:secret').toString('base64')}`;
  const basic = await startPushRegistry({
    login: { challenge: 'Basic realm="r"', accepts: sent => sent === right },
  });
  const user = { username: 'jo', readPassword: async () => 'secret' };
  expect((await push(source, `${basic.host}/team/app:1`, user)).code).toBe(0);
  const refused = basic.lines.filter(line => line.startsWith('401'));
  expect(refused.length).toBeLessThanOrEqual(2); // two blobs are looked for side by side
  const without = await push(source, `${basic.host}/team/app:1`);
  expect(without).toEqual({
    code: 1,
    stdout: '',
    stderr: `error: ${basic.host} wants a login: give --username and --password-stdin\n`,
  });
  const wrong = await push(source, `${basic.host}/team/app:1`, { ...user, readPassword: async () => 'no' });
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toMatch(/refused/);
  const half = await push(source, `${basic.host}/team/app:1`, { username: 'jo' });
  expect(half.code).toBe(2);
});

test('what is no image name is exit code 2, and a registry that is not there is exit code 1 in time', async () => {
  const source = await writeLayout({ v1: image });
  for (const name of ['team/app:1', 'registry.lan/Team/app', 'registry.lan/a:b:c', 'registry.lan/'])
    expect([name, (await push(source, name)).code]).toEqual([name, 2]);
  const stop = new AbortController();
  const running = push(source, `127.0.0.1:${await unusedPort()}/team/app:1`, {
    signal: stop.signal,
    writeError: () => stop.abort(),
  });
  expect((await running).code).toBe(1);
});
