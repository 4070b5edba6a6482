/**
 * `cistern import --from`: the storage folder that Debian's docker-registry wrote, into a store without a daemon and into a running
 * one. What was pushed there is pulled here, and the folder is as it was.
 */
import { execFileSync } from 'node:child_process';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type Digest, digestOf, hexOf } from '../../src/oci/digest.ts';
import { runCistern, runForJson } from '../support/cistern-command.ts';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { type BuiltImage, buildArtifact, buildImage, buildIndex } from '../support/images.ts';
import { spawnTestMirror } from '../support/mirror.ts';
import { spawnProcess } from '../support/process.ts';
import { push, writeLayout } from '../support/push-command.ts';
import { Distribution } from '../support/real/distribution.ts';
import { host } from '../support/real/place.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';

const hosted = { hosted: { repositories: ['**'] }, upstreams: {} };
const accept = {
  accept: '*/*, application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json',
};

interface Source {
  readonly storage: string;
  readonly url: string;
  pushAll(images: Readonly<Record<string, BuiltImage>>): Promise<void>;
}

/** `repository:tag` to image. */
async function startSource(): Promise<Source> {
  const folder = await tempDir();
  const storage = join(folder, 'storage');
  const registry = await Distribution.start({ folder, storage, place: host });
  onTestFinished(() => registry.stop());
  return {
    storage,
    url: registry.url,
    pushAll: async images => {
      for (const [name, image] of Object.entries(images)) {
        const { code, stderr } = await push(
          await writeLayout({ image }),
          `127.0.0.1:${registry.port}/${name}`,
        );
        expect([name, code, code === 0 ? '' : stderr]).toEqual([name, 0, '']);
      }
    },
  };
}

/** Names, types, sizes and contents. */
function fingerprint(folder: string): string {
  const script =
    'cd "$1" && find . -printf "%P %y %s %T@\\n" | sort && find . -type f | sort | xargs sha256sum';
  return execFileSync('sh', ['-c', script, 'sh', folder], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
}

async function configOf(storePath?: string): Promise<{ file: string; storePath: string }> {
  const folder = await tempDir();
  const path = storePath ?? join(folder, 'data');
  const file = join(folder, 'mirror.yml');
  const config = { http: { listen: '127.0.0.1:0' }, store: { path, min_free: 0 }, ...hosted };
  await writeFile(file, JSON.stringify(config)); // JSON is YAML
  return { file, storePath: path };
}

function pathOf(storage: string, digest: Digest): string {
  const hex = hexOf(digest);
  return join(storage, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
}

function sum(counts: Readonly<Record<string, number>> | undefined): number {
  return Object.values(counts ?? {}).reduce((total, count) => total + count, 0);
}

requires('root', 'docker-registry')('cistern import of a docker-registry folder', () => {
  const app = buildImage({ layers: [patternBlob('app layer', 2_000_000), 'shared'] });
  const next = buildImage({ layers: ['next', 'shared'] });
  const index = buildIndex();
  const sbom = buildArtifact({ subject: app });

  test('without a daemon: all is there and pulls; again: nothing; the folder is as it was', async () => {
    const source = await startSource();
    await source.pushAll({ 'team/app:1': app, 'team/app:2': next, 'multi:latest': index });
    const { file, storePath } = await configOf();
    const before = fingerprint(source.storage);
    const first = await runForJson(file, 'import', '--from', source.storage);
    expect(first).toMatchObject({
      repositories: 2,
      manifests: { imported: 5, present: 0 },
      tags: { imported: 3, present: 0 },
      mergedReferrerTags: 0,
      skipped: [],
    });
    const again = await runForJson(file, 'import', '--from', source.storage);
    expect(again).toMatchObject({
      manifests: { imported: 0, present: 5 },
      tags: { imported: 0, present: 3 },
      bytes: 0,
    });
    expect(fingerprint(source.storage)).toBe(before);

    const mirror = await spawnTestMirror({ storePath, config: hosted });
    for (const [name, tag, image] of [
      ['team/app', '1', app],
      ['team/app', '2', next],
      ['multi', 'latest', index],
    ] as const) {
      const answer = await get(mirror.url, `/v2/${name}/manifests/${tag}`, { headers: accept });
      expect([answer.status, answer.body]).toEqual([200, image.bytes]);
      for (const { descriptor, content } of image.blobs) {
        const blob = await get(mirror.url, `/v2/${name}/blobs/${descriptor.digest}`);
        expect(blob.body.equals(content.slice(0, content.size))).toBe(true);
      }
    }

    // what is new in the source since then, through the daemon
    await source.pushAll({ 'team/app:1': next, 'team/new:x': app });
    const difference = await runForJson(mirror.file, 'import', '--from', source.storage);
    expect(difference).toMatchObject({
      manifests: { imported: 1, present: 5 },
      tags: { imported: 2 },
      blobs: { present: 3, copy: 0, reflink: 0, hardlink: 0 },
    });
    const moved = await get(mirror.url, '/v2/team/app/manifests/1', { headers: accept });
    expect(moved.body).toEqual(next.bytes);
  });

  test('a referrers tag is merged; what is broken or of schema 1 is listed, and comes from --from-url where it is', async () => {
    const source = await startSource();
    const list = buildIndex({ children: [{ image: sbom }] });
    await source.pushAll({
      'team/app:1': app,
      [`team/app:${app.digest.replace(':', '-')}`]: list,
      'team/cut:1': next,
      'team/old:1': next,
    });
    const copy = join(await tempDir(), 'copy');
    await cp(source.storage, copy, { recursive: true });
    const [layer] = next.layers;
    if (layer === undefined) throw new Error('expected a layer');
    await writeFile(pathOf(copy, layer.descriptor.digest), 'cut');
    const schema1 = Buffer.from('{"schemaVersion":1,"name":"team/old","fsLayers":[],"signatures":[]}');
    const old = digestOf(schema1);
    await cp(join(pathOf(copy, next.digest), '..'), join(pathOf(copy, old), '..'), { recursive: true });
    await writeFile(pathOf(copy, old), schema1);
    const links = join(copy, 'docker/registry/v2/repositories/team/old/_manifests');
    await writeFile(join(links, 'tags/1/current/link'), old);
    await rm(join(links, 'revisions/sha256', hexOf(next.digest)), { recursive: true });

    const { file, storePath } = await configOf();
    const report = await runForJson(file, 'import', '--from', copy);
    expect(report).toMatchObject({
      manifests: { imported: 2 },
      tags: { imported: 1 },
      mergedReferrerTags: 1,
      skipped: [
        { repository: 'team/cut', reference: '1', reason: `missing or damaged: ${layer.descriptor.digest}` },
        { repository: 'team/old', reference: '1', reason: expect.stringMatching(/schema 1/) },
      ],
    });
    const healed = await runForJson(file, 'import', '--from', copy, '--from-url', source.url);
    expect(healed).toMatchObject({ manifests: { imported: 1, present: 2 }, blobs: { fetched: 1 } });

    const mirror = await spawnTestMirror({ storePath, config: hosted });
    const referrers = await get(mirror.url, `/v2/team/app/referrers/${app.digest}`);
    expect(JSON.parse(referrers.body.toString()).manifests).toMatchObject([{ digest: sbom.digest }]);
    const tags = await get(mirror.url, '/v2/team/app/tags/list');
    expect(JSON.parse(tags.body.toString()).tags).toEqual(['1']);
  });

  test('killed at each of some steps and run again: all is there, and nothing twice', async () => {
    const source = await startSource();
    await source.pushAll({ 'team/app:1': app, 'team/app:2': next, 'multi:latest': index });
    const argv = ['--import', './test/support/kill-at-disk-step.mjs', 'dist/main.js', 'import'];
    for (const step of [2, 8, 15, 24]) {
      const { file } = await configOf();
      const env = { ...process.env, CISTERN_TEST_KILL_AFTER: String(step) };
      const command = spawnProcess(process.execPath, [...argv, '--from', source.storage, '--config', file], {
        env,
      });
      expect([step, (await command.exited).signal]).toEqual([step, 'SIGKILL']);
      const report = await runForJson(file, 'import', '--from', source.storage);
      expect(report).toMatchObject({ repositories: 2, skipped: [] });
      const { manifests, tags } = report as Readonly<Record<string, Record<string, number>>>;
      expect(sum(manifests)).toBe(5);
      expect(sum(tags)).toBe(3);
      const again = await runForJson(file, 'import', '--from', source.storage);
      expect(again).toMatchObject({
        manifests: { imported: 0, present: 5 },
        tags: { imported: 0, present: 3 },
      });
    }
  });

  test('--into, names that are not hosted, and folders that are none', async () => {
    const source = await startSource();
    await source.pushAll({ 'team/app:1': app });
    const { file } = await configOf();
    const report = await runForJson(file, 'import', '--from', source.storage, '--into', 'old/lan');
    expect(report).toMatchObject({ repositories: 1, skipped: [] });
    const narrow = await configOf();
    const config = JSON.parse(await readFile(narrow.file, 'utf8'));
    await writeFile(narrow.file, JSON.stringify({ ...config, hosted: { repositories: ['other/**'] } }));
    expect(await runForJson(narrow.file, 'import', '--from', source.storage)).toMatchObject({
      repositories: 0,
      skipped: [
        { repository: 'team/app', reference: null, reason: 'hosted.repositories does not have team/app' },
      ],
    });
    const none = await runCistern(file, 'import', '--from', await tempDir());
    expect(none.code).toBe(1);
    expect(none.stderr).toContain('is no storage folder of a distribution registry');
  });
});
