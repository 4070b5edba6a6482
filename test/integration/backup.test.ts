/** docs/howto-back-up.md, with the commands as they stand there, while images are pushed: what was answered before is pulled back. */
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { runCistern } from '../support/cistern-command.ts';
import { get } from '../support/client.ts';
import { hostedConfig, pushImage } from '../support/collection-soak.ts';
import { patternBlob } from '../support/content.ts';
import { type BuiltImage, buildImage } from '../support/images.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { tempDir } from '../support/temp-dir.ts';

const names = ['team/one', 'team/two', 'team/deep/three'];

/** The commands under that heading, for these folders. */
async function runDocumented(
  heading: string,
  folders: { readonly store: string; readonly backup: string },
): Promise<void> {
  const text = await readFile(join(import.meta.dirname, '../../docs/howto-back-up.md'), 'utf8');
  const [, block = ''] = text.split(`## ${heading}\n`)[1]?.match(/```sh\n([^`]+)```/) ?? [];
  const commands = Object.entries(folders).reduce((all, [name, path]) => {
    expect(all).toMatch(new RegExp(`^${name}=/`, 'm'));
    return all.replace(new RegExp(`^${name}=/.*$`, 'm'), `${name}=${path}`);
  }, block);
  await promisify(execFile)('bash', ['-euc', commands]);
}

function imageOf(name: string, layers = 2): BuiltImage {
  return buildImage({
    layers: Array.from({ length: layers }, (_, at) => patternBlob(`${name} ${at}`, 20_000)),
  });
}

async function expectPulled(mirror: TestMirror, name: string, image: BuiltImage): Promise<void> {
  const manifest = await get(mirror.url, `/v2/${name}/manifests/${image.digest}`);
  expect([manifest.status, manifest.sha256]).toEqual([200, image.digest]);
  for (const { descriptor } of image.blobs) {
    const blob = await get(mirror.url, `/v2/${name}/blobs/${descriptor.digest}`);
    expect([blob.status, blob.sha256]).toEqual([200, descriptor.digest]);
  }
}

/** Whatever the restored registry lists is whole. Resolves with the number of tags. */
async function expectWhole({ url }: TestMirror): Promise<number> {
  let count = 0;
  for (const name of names) {
    const { tags } = JSON.parse((await get(url, `/v2/${name}/tags/list`)).body.toString());
    for (const tag of tags) {
      const { status, body } = await get(url, `/v2/${name}/manifests/${tag}`);
      expect(status).toBe(200);
      const { config, layers } = JSON.parse(body.toString());
      for (const { digest } of [config, ...layers])
        expect((await get(url, `/v2/${name}/blobs/${digest}`)).sha256).toBe(digest);
      count += 1;
    }
  }
  return count;
}

test('a backup under pushes, with the documented commands: all that was answered before it is pulled from the restored store', async () => {
  const mirror = await startTestMirror({ config: { upstreams: {}, ...hostedConfig() } });
  const answered: { name: string; image: BuiltImage }[] = [];
  for (const name of names)
    for (let at = 0; at < 10; at += 1) {
      const image = imageOf(`before ${at % 5} of ${name}`); // each of them twice: under another tag
      expect(await pushImage(mirror, name, image, `v${at}`)).toBe(201);
      answered.push({ name, image });
    }
  const isOver = { now: false };
  let pushed = 0;
  const pushers = names.map(async (name, who) => {
    for (let at = 0; !isOver.now; at += 1) {
      const image = imageOf(`during ${at} by ${who}`, 3);
      expect(await pushImage(mirror, name, image, at % 3 === 0 ? 'moving' : `during-${at}`)).toBe(201);
      pushed += 1;
    }
  });
  await expect.poll(() => pushed).toBeGreaterThan(5);
  const [backup, store] = [join(await tempDir(), 'backup'), join(await tempDir(), 'store')];
  const before = pushed;
  await runDocumented('Back it up', { store: mirror.storePath, backup });
  await expect.poll(() => pushed).toBeGreaterThan(before); // they never stood still
  isOver.now = true;
  await Promise.all(pushers);

  await runDocumented('Restore it', { store, backup });
  const restored = await startTestMirror({
    storePath: store,
    config: { upstreams: {}, ...hostedConfig() },
  });
  await restored.settled();
  expect(restored.log.filter(({ level }) => level === 'error')).toEqual([]);
  for (const { name, image } of answered) await expectPulled(restored, name, image);
  expect(await expectWhole(restored)).toBeGreaterThan(answered.length);
  expect(await pushImage(restored, 'team/one', imageOf('after the restore'), 'v0')).toBe(201);
});

test('a copy whose _length is newer than its log: 503 until cistern repair, which brings back all of it', async () => {
  const config = { upstreams: {}, ...hostedConfig() };
  const mirror = await startTestMirror({ config });
  const image = imageOf('before');
  expect(await pushImage(mirror, 'team/one', image, 'v1')).toBe(201);
  const store = join(await tempDir(), 'store');
  const [from, to] = [join(mirror.storePath, 'hosted-v1/team/one'), join(store, 'hosted-v1/team/one')];
  await mkdir(to, { recursive: true });
  await cp(join(from, '_repository'), join(to, '_repository'));
  const later = imageOf('later');
  expect(await pushImage(mirror, 'team/one', later, 'v2')).toBe(201);
  await mirror.close(); // `_length` is written in the background
  for (const file of ['_length', '_copy']) await cp(join(from, file), join(to, file));
  await cp(join(mirror.storePath, 'blobs-v1'), join(store, 'blobs-v1'), { recursive: true });

  const restored = await startTestMirror({ storePath: store, config });
  await restored.settled();
  expect((await get(restored.url, '/v2/team/one/manifests/v1')).status).toBe(503);
  const { code, stdout } = await runCistern(restored.file, 'repair');
  expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('team/one') });
  for (const one of [image, later]) await expectPulled(restored, 'team/one', one);
});
