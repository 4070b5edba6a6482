/** What is read of each kind of source: the manifest that comes out, and its blobs from any offset. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { ImageSource } from '../../../src/bundle/image-source.ts';
import { openSource } from '../../../src/bundle/open-source.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import { patternBlob } from '../../support/content.ts';
import { buildImage } from '../../support/images.ts';
import { writeLayout } from '../../support/push-command.ts';
import { tempDir } from '../../support/temp-dir.ts';

type Entry = readonly [name: string, content: Buffer | { readonly linkTo: string }];

async function open(path: string, select?: string): Promise<ImageSource> {
  const source = await openSource(path, {
    ...(select !== undefined && { select }),
    artifactType: 'application/vnd.example',
    signal: new AbortController().signal,
  });
  onTestFinished(() => source.close());
  return source;
}

async function readAll(source: ImageSource, digest: Digest, at = 0): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of source.read(digest, at)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function tarOf(entries: readonly Entry[]): Promise<Buffer> {
  const tar = pack();
  for (const [name, content] of entries) {
    if (Buffer.isBuffer(content)) tar.entry({ name }, content);
    else tar.entry({ name, type: 'symlink', linkname: content.linkTo });
  }
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function fileOf(bytes: Buffer, name = 'image.tar'): Promise<string> {
  const path = join(await tempDir(), name);
  await writeFile(path, bytes);
  return path;
}

/** As `docker save` wrote it up to version 24: a layer that was there already is a symbolic link. */
async function dockerArchive(change: (entries: Entry[]) => Entry[] = entries => entries): Promise<string> {
  const [one, two] = await Promise.all([
    tarOf([['etc/one', Buffer.from('one')]]),
    tarOf([['usr/two', patternBlob('two', 300_000).slice(0, 300_000)]]),
  ]);
  const diffIds = [one, two, one].map(layer => digestOf(layer));
  const config = Buffer.from(
    JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: diffIds } }),
  );
  const list = [
    {
      Config: 'config.json',
      RepoTags: ['app:1'],
      Layers: ['a/layer.tar', 'b/layer.tar', 'c/layer.tar'],
    },
  ];
  const entries: Entry[] = [
    ['a/layer.tar', one],
    ['b/layer.tar', two],
    ['c/layer.tar', { linkTo: '../a/layer.tar' }],
    ['config.json', config],
    ['manifest.json', Buffer.from(JSON.stringify(list))],
  ];
  return fileOf(await tarOf(change(entries)));
}

const hasPacked = async () =>
  (await readdir(tmpdir())).filter(name => name.startsWith('cistern-push-')).length;

test('an OCI layout, as a folder, as a tar and as a gzipped tar: the same manifest and blobs', async () => {
  const layer = patternBlob('layer', 500_000);
  const image = buildImage({ layers: [layer, 'small'] });
  const folder = await writeLayout({ v1: image });
  const entries: Entry[] = [
    ['oci-layout', Buffer.from('{}')],
    ['index.json', Buffer.from(JSON.stringify({ manifests: [image.descriptor] }))],
    [`blobs/sha256/${image.digest.slice(7)}`, image.bytes],
    ...image.blobs.map(
      ({ descriptor, content }): Entry => [
        `./blobs/sha256/${descriptor.digest.slice(7)}`, // skopeo and tar write names with and without ./
        content.slice(0, content.size),
      ],
    ),
  ];
  const tar = await tarOf(entries);
  for (const path of [folder, await fileOf(tar), await fileOf(gzipSync(tar), 'image.tar.gz')]) {
    const source = await open(path);
    expect(source.manifests).toEqual([{ descriptor: image.descriptor, bytes: image.bytes }]);
    expect(source.blobs).toHaveLength(3);
    for (const at of [0, 1, 300_000, 500_000])
      expect((await readAll(source, layer.digest, at)).equals(layer.slice(at, 500_000))).toBe(true);
  }
});

test('an archive of docker save: gzipped layers under a manifest of Docker, the same at each reading', async () => {
  const path = await dockerArchive();
  vi.stubEnv('TMPDIR', await tempDir()); // other tests pack too
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
  const source = await open(path);
  const [manifest] = source.manifests;
  const parsed = JSON.parse(manifest?.bytes.toString() ?? '');
  expect(manifest?.descriptor.mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json');
  expect(parsed.layers).toHaveLength(3);
  expect(parsed.layers[0]).toEqual(parsed.layers[2]);
  expect(source.blobs).toHaveLength(3); // the config, and two layers
  const packed = await readAll(source, parsed.layers[1].digest);
  expect(digestOf(packed)).toBe(parsed.layers[1].digest);
  const config = JSON.parse((await readAll(source, parsed.config.digest)).toString());
  const diffId = `sha256:${createHash('sha256').update(gunzipSync(packed)).digest('hex')}`;
  expect(diffId).toBe(config.rootfs.diff_ids[1]);
  expect(await readAll(source, parsed.layers[1].digest, 1000)).toEqual(packed.subarray(1000));
  expect((await open(path, 'app:1')).manifests).toEqual(source.manifests);
  await source.close();
  expect(await hasPacked()).toBe(1); // that of the second reading
});

test('a docker archive with another layer than its config names, without one, or without its image', async () => {
  const other = await tarOf([['etc/other', Buffer.from('other')]]);
  const changed = await dockerArchive(entries =>
    entries.map(entry => (entry[0] === 'b/layer.tar' ? [entry[0], other] : entry)),
  );
  await expect(open(changed)).rejects.toThrow('b/layer.tar is damaged');
  const missing = await dockerArchive(entries => entries.filter(([name]) => name !== 'b/layer.tar'));
  await expect(open(missing)).rejects.toThrow('it has no b/layer.tar');
  await expect(open(await dockerArchive(), 'other:2')).rejects.toThrow(
    'there is no image "other:2" in it, but: app:1',
  );
});

test('what is no image, is cut off, or is compressed otherwise is said', async () => {
  const archive = await tarOf([['readme', Buffer.alloc(5000)]]);
  await expect(open(await fileOf(archive))).rejects.toThrow('holds no image');
  await expect(open(await fileOf(archive.subarray(0, 2000)))).rejects.toThrow('is no whole tar archive');
  await expect(open(await fileOf(gzipSync(archive).subarray(0, 40)))).rejects.toThrow(
    'is no whole gzip file',
  );
  const zstd = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0]);
  await expect(open(await fileOf(zstd))).rejects.toThrow('is compressed with zstd: unpack it first');
});

test('a manifest of a layout whose bytes have another digest is damage', async () => {
  const image = buildImage();
  const folder = await writeLayout({ v1: image });
  await writeFile(
    join(folder, 'blobs', 'sha256', image.digest.slice(7)),
    Buffer.concat([image.bytes, Buffer.from(' ')]),
  );
  await expect(open(folder)).rejects.toThrow('is damaged: it has another digest');
});

test('a folder: the same bytes whatever the order and times of its files', async () => {
  const [one, two] = [join(await tempDir(), 'files'), join(await tempDir(), 'files')];
  for (const [folder, names] of [
    [one, ['a', 'b']],
    [two, ['b', 'a']],
  ] as const) {
    await mkdir(folder);
    for (const name of names) await writeFile(join(folder, name), name);
  }
  expect((await open(one)).manifests).toEqual((await open(two)).manifests);
});
