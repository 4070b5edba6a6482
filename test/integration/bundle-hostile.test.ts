/**
 * Bundles that are damaged, cut off or made to do harm, into a running daemon and into a store without one: each is refused by the name of
 * what is wrong, nothing of it can be seen, and the right bundle comes in afterwards, the cut one from where it was cut.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { type BundleFile, blobName, importBundle, layoutFiles, tarOf } from '../support/bundles.ts';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage, buildIndex } from '../support/images.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';

const image = buildImage({ layers: [patternBlob('large', 300_000), 'small'] });
const index = buildIndex();
const names = { 'docker.io/library/app:1': image, 'team/app:1': index };
const [large, small] = image.layers;
const config = {
  offline: true,
  hosted: { repositories: ['team/**'] },
  upstreams: { 'docker.io': { url: 'http://127.0.0.1:9' } },
};
const accept = {
  accept: 'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json',
};

let whole: readonly BundleFile[];
let bytes: Buffer;

beforeAll(async () => {
  whole = layoutFiles(names);
  bytes = await tarOf(whole);
});

/** The right files but for one. */
function changed(name: string, change: (content: Buffer) => Buffer): readonly BundleFile[] {
  return whole.map(file => (file.name === name ? { ...file, content: change(file.content) } : file));
}

function without(name: string): readonly BundleFile[] {
  return whole.filter(file => file.name !== name);
}

function withMore(...files: readonly BundleFile[]): readonly BundleFile[] {
  return [...whole, ...files];
}

function listing(change: (entries: Record<string, unknown>[]) => unknown): readonly BundleFile[] {
  return changed('index.json', content =>
    Buffer.from(
      JSON.stringify({ schemaVersion: 2, manifests: change(JSON.parse(String(content)).manifests) }),
    ),
  );
}

function flipped(content: Buffer): Buffer {
  const copy = Buffer.from(content);
  copy[copy.length - 1] = (copy[copy.length - 1] ?? 0) ^ 1;
  return copy;
}

const largeName = blobName(large?.descriptor.digest ?? image.digest);
const text = (content: string) => Buffer.from(content);
const [, arm] = index.children;

/** What it is, its files, what is said of it. */
const hostile: readonly (readonly [string, () => readonly BundleFile[], string])[] = [
  [
    'a flipped byte in a layer',
    () => changed(largeName, flipped),
    `300000 bytes of ${large?.descriptor.digest} have another digest`,
  ],
  [
    'a flipped byte in a manifest',
    () => changed(blobName(image.digest), flipped),
    `bytes of ${image.digest} have another digest`,
  ],
  [
    'a blob of another size',
    () => changed(largeName, content => content.subarray(1)),
    `the 299999 bytes of ${large?.descriptor.digest}`,
  ],
  [
    'a size in index.json that is wrong',
    () => listing(([first, ...rest]) => [{ ...first, size: 1 }, ...rest]),
    `says that ${image.digest} has 1 bytes`,
  ],
  ['no index.json', () => without('index.json'), 'it has no index.json'],
  [
    'an archive of docker save before version 25',
    () => [...without('index.json'), { name: 'manifest.json', content: text('[]') }],
    'as docker save wrote it before version 25: cistern push takes it',
  ],
  [
    'a name twice',
    () =>
      listing(([first, ...rest]) => [
        first,
        { ...first, digest: arm?.digest, size: arm?.bytes.length },
        ...rest,
      ]),
    'it lists docker.io/library/app:1 twice',
  ],
  ['no oci-layout', () => without('oci-layout'), 'it has no oci-layout'],
  [
    'an oci-layout of another version',
    () => changed('oci-layout', () => text('{"imageLayoutVersion":"2.0.0"}')),
    'names the version "2.0.0"',
  ],
  [
    'an index.json that is no JSON',
    () => changed('index.json', () => text('{')),
    'index.json of the bundle is not JSON',
  ],
  [
    'an index.json without a list',
    () => changed('index.json', () => text('{"manifests":{}}')),
    'lists no manifests',
  ],
  [
    'an index.json of 5 MiB',
    () => changed('index.json', content => Buffer.concat([content, Buffer.alloc(5 * 1024 * 1024, 0x20)])),
    'index.json has 52',
  ],
  [
    'an index.json of 10,001 entries',
    () => listing(([first]) => Array(10_001).fill({ ...first, annotations: {} })),
    'lists 10001 manifests',
  ],
  [
    'an entry with a foreign digest',
    () => listing(([first]) => [{ ...first, digest: `md5:${'0'.repeat(32)}` }]),
    'without a sha256 or sha512 digest',
  ],
  [
    'no image with a name',
    () => listing(([first]) => [{ ...first, annotations: { 'org.opencontainers.image.ref.name': '1' } }]),
    'index.json names no image',
  ],
  [
    'an image under the digest of another',
    () =>
      listing(([first]) => [
        {
          ...first,
          annotations: { 'org.opencontainers.image.ref.name': `docker.io/library/app@${index.digest}` },
        },
      ]),
    `lists ${image.digest} as docker.io/library/app@`,
  ],
  [
    'a registry that is no upstream here',
    () =>
      listing(([first]) => [{ ...first, annotations: { 'io.containerd.image.name': 'ghcr.io/x/app:1' } }]),
    'ghcr.io is no upstream of this mirror',
  ],
  [
    'a name without a registry that is not hosted',
    () => listing(([first]) => [{ ...first, annotations: { 'io.containerd.image.name': 'other/app:1' } }]),
    'other/app is not hosted here',
  ],
  [
    'a path that leads out',
    () => withMore({ name: 'blobs/sha256/../../../etc/passwd', content: text('x') }),
    'leads out of it',
  ],
  [
    'an absolute path',
    () => withMore({ name: '/etc/passwd', content: text('x') }),
    'the name "/etc/passwd" leads out of it',
  ],
  [
    'a path with a backslash',
    () => withMore({ name: 'blobs\\sha256\\x', content: text('x') }),
    'leads out of it',
  ],
  [
    'a symbolic link',
    () =>
      withMore({
        name: 'index2.json',
        content: text(''),
        header: { type: 'symlink', linkname: '/etc/passwd' },
      }),
    'is a link',
  ],
  [
    'a symbolic link as a blob',
    () => [
      ...without(largeName),
      { name: largeName, content: text(''), header: { type: 'symlink', linkname: '/etc/passwd' } },
    ],
    'is a link',
  ],
  [
    'a hard link',
    () => withMore({ name: 'x', content: text(''), header: { type: 'link', linkname: 'index.json' } }),
    'is a link',
  ],
  [
    'a device',
    () => withMore({ name: 'blobs/sda', content: text(''), header: { type: 'block-device' } }),
    'is a special file',
  ],
  [
    'a blob twice',
    () => withMore({ name: largeName, content: large?.content.slice(0, 300_000) as Buffer }),
    'is in it twice',
  ],
  [
    'index.json twice',
    () => withMore({ name: './index.json', content: text('{"manifests":[]}') }),
    'is in it twice',
  ],
  [
    'a digest of another algorithm',
    () => withMore({ name: `blobs/md5/${'0'.repeat(32)}`, content: text('x') }),
    'is not named by a sha256 or sha512 digest',
  ],
  [
    'a digest that is cut',
    () => withMore({ name: 'blobs/sha256/00', content: text('x') }),
    'is not named by a sha256 or sha512 digest',
  ],
  [
    'a blob in a folder of its own',
    () => withMore({ name: `${largeName}/x`, content: text('x') }),
    'is not named by a sha256 or sha512 digest',
  ],
];

test('each is refused by name, and nothing of it can be seen', async () => {
  const mirror = await startTestMirror({ config });
  for (const [what, files, says] of hostile) {
    const { code, stdout, stderr } = await importBundle(mirror.file, await tarOf(files()));
    expect([what, code, stdout]).toEqual([what, 1, '']);
    expect([what, stderr]).toEqual([what, expect.stringContaining(says)]);
  }
  await expectNothing(mirror);
  const { code } = await importBundle(mirror.file, bytes);
  expect(code).toBe(0);
  await expectAll(mirror);
});

test('what is neither in the bundle nor held is named, whether a layer or a manifest', async () => {
  for (const [missing, what] of [
    [large?.descriptor.digest ?? image.digest, 'layer'],
    [image.digest, 'manifest'],
  ] as const) {
    const mirror = await startTestMirror({ config });
    const { code, stderr } = await importBundle(mirror.file, await tarOf(without(blobName(missing))));
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining(`docker.io/library/app:1 lacks ${missing} (${what})`),
    ]);
    await expectNothing(mirror);
  }
});

test('what is compressed, no tar, or cut anywhere, is refused; the same without a daemon', async () => {
  const mirror = await startTestMirror({ config });
  const cuts = [0, 100, 512, 700, 3000, bytes.length / 2, bytes.length - 1025, bytes.length - 1024].map(
    Math.floor,
  );
  const damaged = [
    ...cuts.map(at => [bytes.subarray(0, at), /is no whole tar archive: it ends/] as const),
    [Buffer.from([0x1f, 0x8b, 8, 0]), /it is compressed with gzip/] as const,
    [Buffer.from('<html>'.repeat(1000)), /there is no header of an entry at byte 0/] as const,
  ];
  for (const [given, says] of damaged) {
    const { code, stderr } = await importBundle(mirror.file, given);
    expect([given.length, code, stderr]).toEqual([given.length, 1, expect.stringMatching(says)]);
  }
  await expectNothing(mirror);
  await mirror.close();
  for (const [given, says] of damaged)
    expect(await importBundle(mirror.file, given)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(says),
    });
  expect((await importBundle(mirror.file, bytes)).code).toBe(0);
  const again = await startTestMirror({ config, storePath: mirror.storePath });
  await expectAll(again);
  expect(await readdir(join(mirror.storePath, 'ingest-v1'))).toEqual([]);
});

test('an import that was cut half-way keeps what came, and the next one brings the rest', async () => {
  const mirror = await startTestMirror({ config });
  const files = [...whole].sort(({ name }) =>
    name === blobName(small?.descriptor.digest ?? image.digest) ? 1 : -1,
  );
  const all = await tarOf(files);
  const cut = await importBundle(mirror.file, all.subarray(0, all.length - 4000));
  expect(cut.code).toBe(1);
  await expectNothing(mirror);
  const rest = await importBundle(mirror.file, all);
  expect(rest.stdout).toMatch(/blobs: 1 new \(2\.0 KiB\), \d\d? here already\n$/);
  await expectAll(mirror);
});

test('index.json may come last, as other tools write it, and an index may be sparse if they say nothing of platforms', async () => {
  const mirror = await startTestMirror({ config });
  const late = [
    ...whole.filter(({ name }) => name !== 'index.json'),
    ...whole.filter(({ name }) => name === 'index.json'),
  ];
  const sparse = late.filter(({ name }) => name !== blobName(arm?.digest ?? image.digest));
  const dotted = sparse.map(file => ({ ...file, name: `./${file.name}` }));
  const folder: BundleFile = { name: './', content: text(''), header: { type: 'directory' } };
  const { code, stderr } = await importBundle(mirror.file, await tarOf([folder, ...dotted]));
  expect([code, stderr]).toEqual([0, '']);
  await expectAll(mirror);
});

async function expectNothing({ url }: TestMirror): Promise<void> {
  const seen: [string, number][] = [];
  for (const path of [
    'library/app/manifests/1',
    `library/app/manifests/${image.digest}`,
    `library/app/blobs/${large?.descriptor.digest}`,
  ])
    seen.push([path, (await get(url, `/v2/${path}`, { headers: accept })).status]);
  expect(seen.filter(([, status]) => status < 400)).toEqual([]);
  expect((await get(url, '/v2/team/app/manifests/1', { headers: accept })).status).toBe(404);
  expect(JSON.parse((await get(url, '/v2/_catalog')).body.toString())).toEqual({ repositories: [] });
}

async function expectAll({ url }: TestMirror): Promise<void> {
  for (const [path, built] of [
    ['library/app', image],
    ['team/app', index],
  ] as const) {
    const answer = await get(url, `/v2/${path}/manifests/1`, { headers: accept });
    expect([path, answer.status, answer.body]).toEqual([path, 200, built.bytes]);
  }
  const blob = await get(url, `/v2/library/app/blobs/${large?.descriptor.digest}`);
  expect([blob.status, blob.body.length]).toEqual([200, 300_000]);
}
