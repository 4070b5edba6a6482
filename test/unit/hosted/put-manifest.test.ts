/** PUT of a manifest against others who change the same repository, and against a store that loses or damages files. */
import { type FileHandle, open, readFile, writeFile } from 'node:fs/promises';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { Quotas } from '../../../src/hosted/put-manifest.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import { RegistryError } from '../../../src/oci/error.ts';
import { parseRepository, parseTag } from '../../../src/oci/name.ts';
import { deferred } from '../../support/gates.ts';
import { createHostedRig, type HostedRig, writing } from '../../support/hosted-rig.ts';
import { buildImage, buildIndex } from '../../support/images.ts';

const app = parseRepository('team/app');
const latest = parseTag('latest');
const image = buildImage();
const next = buildImage({ layers: ['layer a', 'layer next'] });
const manifestOf = ({ bytes, mediaType }: typeof image, ...tags: string[]) => ({
  bytes,
  mediaType,
  tags: tags.map(parseTag),
});
const blobsOf = (one: typeof image) => one.blobs.map(({ content }) => content);

async function held(rig: HostedRig, digest: Digest): Promise<boolean> {
  return rig.registry.stat(app, digest, writing()).then(
    () => true,
    () => false,
  );
}

test('manifest, tags and subject are one commit, and nothing is visible before it', async () => {
  const rig = await createHostedRig();
  await rig.push(app, ...blobsOf(image));
  const generation = rig.log.peek(app)?.generation ?? 0;
  let seen: unknown[] = [];
  rig.beforeCommit = async () => {
    seen = [rig.log.peek(app)?.manifest(image.digest), rig.registry.manifestAtOnce(app, latest)];
    seen.push(await rig.store.sizeOf(image.digest)); // the bytes are there first
  };
  await rig.registry.putManifest(app, latest, manifestOf(image, '1', '1.2'), writing());
  expect(seen).toEqual([undefined, undefined, image.bytes.length]);
  expect(rig.log.peek(app)?.generation).toBe(generation + 1);
  expect(rig.log.peek(app)?.tags()).toEqual(['1', '1.2', 'latest']);
  expect(rig.registry.manifestAtOnce(app, latest)?.bytes).toEqual(image.bytes); // hot at once
});

test('two writers of one tag: the last one wins, both manifests are there, the history has both and who they were', async () => {
  const rig = await createHostedRig();
  await rig.push(app, ...blobsOf(image), ...blobsOf(next));
  const first = deferred();
  const second = deferred();
  let commits = 0;
  rig.beforeCommit = async () => {
    commits += 1;
    if (commits > 1) return;
    second.resolve();
    await first.promise;
  };
  const slow = rig.registry.putManifest(app, latest, manifestOf(image), writing('alice'));
  await second.promise;
  await rig.registry.putManifest(app, latest, manifestOf(next), writing('bob'));
  first.resolve();
  await slow;
  expect(commits).toBe(3); // the slow one decided anew
  expect((await rig.registry.resolve(app, latest, writing())).descriptor.digest).toBe(image.digest);
  for (const one of [image, next])
    expect((await rig.registry.manifest(app, one.digest)).bytes).toEqual(one.bytes);
  expect(rig.log.peek(app)?.history(latest)).toMatchObject([
    { from: next.digest, to: image.digest, user: 'alice' },
    { to: next.digest, user: 'bob' },
  ]);
});

test('32 images pushed at once share the syncs of the log, and each is decided once', async () => {
  const rig = await createHostedRig();
  const images = Array.from({ length: 32 }, (_, n) => buildImage({ layers: ['layer a', `layer ${n}`] }));
  for (const one of images) await rig.push(app, ...blobsOf(one));
  const handle = await open('/dev/null');
  const syncs = vi.spyOn<FileHandle, 'datasync'>(Object.getPrototypeOf(handle), 'datasync');
  onTestFinished(() => syncs.mockRestore());
  await handle.close();
  let commits = 0;
  const all = deferred();
  rig.beforeCommit = async () => {
    commits += 1;
    if (commits === 32) all.resolve();
    await all.promise;
  };
  const puts = images.map((one, n) =>
    rig.registry.putManifest(app, parseTag(`v${n}`), manifestOf(one), writing()),
  );
  await Promise.all(puts);
  expect([commits, rig.log.peek(app)?.tags().length]).toEqual([32, 32]);
  expect(syncs.mock.calls.length - 32).toBeLessThanOrEqual(2); // each has a file of its own
});

test('a blob that is deleted between the check and the commit is missed: no manifest is answered 201 that lacks it', async () => {
  const rig = await createHostedRig();
  await rig.push(app, ...blobsOf(image));
  const [layer] = image.layers;
  if (layer === undefined) throw new Error('expected a layer');
  let isFirst = true;
  rig.beforeCommit = async () => {
    if (!isFirst) return;
    isFirst = false;
    await rig.registry.deleteBlob(app, layer.descriptor.digest, writing());
  };
  await expect(rig.registry.putManifest(app, latest, manifestOf(image), writing())).rejects.toMatchObject({
    code: 'MANIFEST_BLOB_UNKNOWN',
    detail: { digests: [layer.descriptor.digest] },
  });
  expect(rig.log.peek(app)?.tags()).toEqual([]);
});

test('a manifest that comes between the check and the commit of DELETE saves its blob', async () => {
  const rig = await createHostedRig();
  await rig.push(app, ...blobsOf(image));
  const digest = image.layers[0]?.descriptor.digest ?? image.digest;
  let isFirst = true;
  rig.beforeCommit = async () => {
    if (!isFirst) return;
    isFirst = false;
    await rig.registry.putManifest(app, latest, manifestOf(image), writing());
  };
  await expect(rig.registry.deleteBlob(app, digest, writing())).rejects.toMatchObject({
    code: 'UNSUPPORTED',
  });
  expect(await held(rig, digest)).toBe(true);
});

test('an immutable tag that another writer sets first stays his', async () => {
  const rig = await createHostedRig({ immutable: ['team/**:v*'] });
  await rig.push(app, ...blobsOf(image), ...blobsOf(next));
  const v1 = parseTag('v1');
  let isFirst = true;
  rig.beforeCommit = async () => {
    if (!isFirst) return;
    isFirst = false;
    await rig.registry.putManifest(app, v1, manifestOf(next), writing());
  };
  await expect(rig.registry.putManifest(app, v1, manifestOf(image), writing())).rejects.toMatchObject({
    code: 'DENIED',
    status: 409,
  });
  expect((await rig.registry.resolve(app, v1, writing())).descriptor.digest).toBe(next.digest);
});

test('all that it names, and itself, is held until the commit, and not after', async () => {
  const rig = await createHostedRig();
  await rig.push(app, ...blobsOf(image));
  const digests = [image.digest, ...image.blobs.map(({ descriptor }) => descriptor.digest)];
  let during: boolean[] = [];
  rig.beforeCommit = async () => {
    during = digests.map(digest => rig.holds.isHeld(digest));
  };
  await rig.registry.putManifest(app, latest, manifestOf(image), writing());
  expect(during).toEqual(digests.map(() => true));
  await rig.registry.putManifest(app, next.digest, manifestOf(next), writing()).catch(() => {});
  expect(digests.map(digest => rig.holds.isHeld(digest))).toEqual(digests.map(() => false));
});

test('blobs of the mirror’s side are linked in the same commit', async () => {
  const sizes = new Map(image.blobs.map(({ descriptor }) => [descriptor.digest, descriptor.size]));
  const rig = await createHostedRig({ publicSize: async digest => sizes.get(digest) });
  for (const { content } of image.blobs) await rig.store.put(content.digest, content.slice(0, content.size));
  await rig.registry.putManifest(app, latest, manifestOf(image), writing());
  expect(rig.log.peek(app)?.generation).toBe(1);
  const links = image.blobs.map(({ descriptor }) => rig.log.peek(app)?.link(descriptor.digest)?.how);
  expect(new Set(links)).toEqual(new Set(['adopt']));
});

test('a quota is asked for what is new, released once, and its refusal writes nothing', async () => {
  const asked: unknown[] = [];
  let released = 0;
  let isFull = false;
  const quotas: Quotas = {
    book: async (name, { links, tags }) => {
      asked.push([name, [...links.keys()], tags]);
      if (isFull) throw new RegistryError('DENIED', { message: 'too much' });
      return () => {
        released += 1;
      };
    },
  };
  const rig = await createHostedRig({ quotas });
  await rig.push(app, ...blobsOf(image), ...blobsOf(next));
  await rig.registry.putManifest(app, latest, manifestOf(image), writing());
  await rig.registry.putManifest(app, latest, manifestOf(image, 'more'), writing());
  isFull = true;
  await expect(rig.registry.putManifest(app, latest, manifestOf(next), writing())).rejects.toMatchObject({
    code: 'DENIED',
    status: 403,
  });
  expect(asked).toEqual([
    [app, [image.digest], ['latest']],
    [app, [], ['more']],
    [app, [next.digest], []],
  ]);
  expect(released).toBe(2);
  expect(await rig.store.sizeOf(next.digest)).toBeUndefined();
});

test('a manifest whose file is damaged, in length or in bytes, is healed by the same push', async () => {
  for (const damage of ['short', image.bytes.toString().replace('layers', 'Layers')]) {
    const rig = await createHostedRig();
    await rig.pushImage(app, image, 'latest');
    const path = rig.layout.blobPath(image.digest);
    await writeFile(path, damage);
    await rig.registry.putManifest(app, latest, manifestOf(image), writing());
    expect(await readFile(path)).toEqual(image.bytes);
  }
});

test('a damaged blob counts as unknown, stays where it is, and is loudly reported', async () => {
  const rig = await createHostedRig();
  await rig.pushImage(app, image, 'latest');
  const digest = image.layers[0]?.descriptor.digest ?? image.digest;
  const path = rig.layout.blobPath(digest);
  const bytes = await readFile(path);
  await writeFile(path, Buffer.alloc(bytes.length));
  const signal = writing().signal;
  rig.nowMs += 10 * 86_400_000; // due for a check
  await expect(rig.registry.blob(app, digest, undefined, { signal })).rejects.toMatchObject({
    code: 'BLOB_UNKNOWN',
  });
  expect(await held(rig, digest)).toBe(false);
  expect(await readFile(path)).toEqual(Buffer.alloc(bytes.length));
  expect(rig.errors).toHaveLength(1);
  await expect(rig.registry.putManifest(app, latest, manifestOf(image), writing())).rejects.toMatchObject({
    code: 'MANIFEST_BLOB_UNKNOWN',
  });
});

test('an index takes 10,000 children, held or not, and an image 1,000 descriptors', async () => {
  const rig = await createHostedRig();
  await rig.push(app, ...blobsOf(image));
  const index = buildIndex();
  const children = Array.from({ length: 10_000 }, (_, n) => ({
    mediaType: image.mediaType,
    digest: `sha256:${String(n).padStart(64, '0')}`,
    size: n,
  }));
  const layer = image.layers[0]?.descriptor;
  for (const [built, fields] of [
    [index, { manifests: children }],
    [image, { layers: Array(999).fill(layer) }],
  ] as const) {
    const bytes = Buffer.from(JSON.stringify({ ...JSON.parse(built.bytes.toString()), ...fields }));
    const manifest = { bytes, mediaType: built.mediaType, tags: [] };
    await rig.registry.putManifest(app, latest, manifest, writing());
    expect((await rig.registry.manifest(app, latest)).bytes.equals(bytes)).toBe(true);
  }
});
