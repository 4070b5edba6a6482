/** A restore and what runs beside it: a push of the same tag, and a removal of a blob that has just lost its link. */
import { expect, test } from 'vitest';
import { ImmutableTags } from '../../../../src/hosted/immutable-tags.ts';
import { TagRestore } from '../../../../src/hosted/tags/restore.ts';
import { parseReference, parseRepository, parseTag } from '../../../../src/oci/name.ts';
import { readManifest } from '../../../../src/store/records/image-tree.ts';
import { createHostedRig, type HostedRig, writing } from '../../../support/hosted-rig.ts';
import { buildImage } from '../../../support/images.ts';

const app = parseRepository('team/app');
const tag = parseTag('v1');
const [one, two, three] = ['one', 'two', 'three'].map(layer => buildImage({ layers: [layer] }));
if (one === undefined || two === undefined || three === undefined) throw new Error('three images');
const by = { user: 'bob', signal: new AbortController().signal };

function restoreOf(rig: HostedRig): TagRestore {
  return new TagRestore({
    log: rig.gatedLog,
    files: rig.store,
    readManifest: (digest, mediaType) => readManifest(rig.store, { digest, mediaType }),
    holds: rig.holds,
    immutable: new ImmutableTags([]),
    quotas: { book: async () => () => {} },
    undeleteMs: 1000,
    requireWritable: () => {},
    now: () => rig.nowMs,
  });
}

test('a push of the same tag comes in between: the restore goes by the history as it is then', async () => {
  const rig = await createHostedRig();
  await rig.pushImage(app, one, 'v1');
  await rig.pushImage(app, two, 'v1');
  await rig.push(app, ...three.blobs.map(({ content }) => content));
  let commits = 0;
  rig.beforeCommit = async () => {
    commits += 1;
    if (commits > 1) return;
    const manifest = { bytes: three.bytes, mediaType: three.mediaType, tags: [] };
    await rig.registry.putManifest(app, parseReference('v1'), manifest, writing());
  };
  const { digest, tags } = await restoreOf(rig).restore(app, { tag }, by);
  expect([digest, tags]).toEqual([two.digest, [{ tag, from: three.digest }]]);
  expect(
    rig.log
      .peek(app)
      ?.history(tag)
      .map(({ to, user }) => [to, user]),
  ).toEqual([
    [two.digest, 'bob'],
    [three.digest, 'alice'],
    [two.digest, 'alice'],
    [one.digest, 'alice'],
  ]);
});

test('nothing that comes back can be removed before its line is written, and all holds are given back', async () => {
  const rig = await createHostedRig();
  await rig.pushImage(app, one, 'v1');
  await rig.registry.deleteManifest(app, one.digest, writing());
  const parts = [one.digest, ...one.blobs.map(({ content }) => content.digest)];
  let held: boolean[] = [];
  rig.beforeCommit = async () => {
    held = parts.map(digest => rig.holds.isHeld(digest));
  };
  const { undeleted, tags } = await restoreOf(rig).restore(app, { digest: one.digest }, by);
  expect([undeleted, tags, held]).toEqual([[one.digest], [{ tag }], parts.map(() => true)]);
  expect(parts.filter(digest => rig.holds.isHeld(digest))).toEqual([]);
});

test('a blob that is being removed meanwhile is waited for, and then the image does not come back half', async () => {
  const rig = await createHostedRig();
  await rig.pushImage(app, one, 'v1');
  await rig.registry.deleteManifest(app, one.digest, writing());
  const [blob] = one.blobs;
  if (blob === undefined) throw new Error('an image has blobs');
  const { digest } = blob.content;
  const removal = rig.holds.removeUnlessHeld(
    digest,
    () => true,
    () => rig.store.remove(digest),
  );
  await expect(restoreOf(rig).restore(app, { digest: one.digest }, by)).rejects.toMatchObject({
    code: 'MANIFEST_BLOB_UNKNOWN',
    detail: { digests: [digest] },
  });
  await removal;
  expect(rig.log.peek(app)?.manifest(one.digest)).toBeUndefined();
});
