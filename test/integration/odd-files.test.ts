/** FIFOs, symlinks, folders and devices under the store's names: never opened as content, healed like damage. */
import { execFile } from 'node:child_process';
import { lstat, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { StoreLayout } from '../../src/store/layout.ts';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { spawnTestMirror, startTestMirror } from '../support/mirror.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const run = promisify(execFile);
const secret = 'root:x:0:0';

/** In the place of `path`, whatever is there. */
const odd: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  FIFO: path => run('mkfifo', [path]),
  symlink: async path => {
    const target = join(await tempDir(), 'elsewhere');
    await writeFile(target, secret);
    await symlink(target, path);
  },
  'symlink to a device': path => symlink('/dev/zero', path),
  folder: async path => {
    await mkdir(path);
    await writeFile(join(path, 'inner'), secret);
  },
};

async function replace(path: string, kind: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
  await mkdir(dirname(path), { recursive: true });
  await odd[kind]?.(path);
}

async function setUp() {
  const layer = patternBlob('layer', 2_000_000);
  const image = buildImage({ layers: [layer] });
  const upstream = await startFakeUpstream();
  upstream.put('library/app', image, 'latest');
  const storePath = join(await tempDir(), 'data');
  const layout = await StoreLayout.open(storePath);
  const blob = `/v2/library/app/blobs/${layer.digest}`;
  const manifest = `/v2/library/app/manifests/${image.digest}`;
  const paths = {
    blob: layout.blobPath(layer.digest),
    manifest: layout.blobPath(image.digest),
    record: layout.recordPath('docker.io/library/app'),
    journal: layout.journalPath(layer.digest),
    partial: layout.partPath(layer.digest),
    id: join(storePath, 'id'),
  };
  return { layer, image, upstream, storePath, blob, manifest, paths };
}

test.each(Object.keys(odd))(
  'a %s in place of anything that is held or begun is healed, and read by no client',
  async kind => {
    const { image, layer, upstream, storePath, blob, manifest, paths } = await setUp();
    const first = await startTestMirror({ upstream, storePath });
    await get(first.url, manifest);
    await get(first.url, blob, { keep: false });
    await first.close();
    for (const path of Object.values(paths)) await replace(path, kind);
    const mirror = await startTestMirror({ upstream, storePath });
    for (let tries = 0; tries < 2; tries += 1) {
      expect(await get(mirror.url, manifest)).toMatchObject({ status: 200, sha256: image.digest });
      expect(await get(mirror.url, blob, { keep: false })).toMatchObject({
        status: 200,
        sha256: layer.digest,
      });
    }
    await mirror.settled();
    await mirror.close();
    for (const name of ['blob', 'manifest', 'record', 'id'] as const)
      expect([name, (await lstat(paths[name])).isFile()]).toEqual([name, true]);
    upstream.log.clear();
    const last = await startTestMirror({ upstream, storePath });
    expect((await get(last.url, blob, { keep: false })).status).toBe(200);
    expect(upstream.lines()).toEqual([]);
  },
);

test('SIGTERM ends a process whose store is full of FIFOs', async () => {
  const { upstream, storePath, blob, manifest, paths } = await setUp();
  for (const path of Object.values(paths)) await replace(path, 'FIFO');
  const mirror = await spawnTestMirror({ upstream, storePath });
  expect((await get(mirror.url, manifest)).status).toBe(200);
  expect((await get(mirror.url, blob, { keep: false })).status).toBe(200);
  expect(await mirror.process.stop('SIGTERM')).toMatchObject({ code: 0 });
});

test.each(['FIFO', 'folder'])('a layout that is a %s says how to mend it', async kind => {
  const { storePath } = await setUp();
  await replace(join(storePath, 'layout'), kind);
  const opening = StoreLayout.open(storePath);
  await expect(opening).rejects.toMatchObject({
    code: 'LAYOUT',
    message: expect.stringContaining('remove that file'),
  });
  await rm(join(storePath, 'layout'), { recursive: true });
  expect((await StoreLayout.open(storePath)).path).toBe(storePath);
});
