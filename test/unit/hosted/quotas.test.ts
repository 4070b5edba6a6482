/** Quotas over a real log: what counts, once; and two pushes of which only one fits, whichever commits first. */
import { expect, test } from 'vitest';
import { parseReference, parseRepository, parseTag } from '../../../src/oci/name.ts';
import { patternBlob } from '../../support/content.ts';
import { deferred } from '../../support/gates.ts';
import { createHostedRig, type HostedRig, writing } from '../../support/hosted-rig.ts';
import { buildImage } from '../../support/images.ts';

const app = parseRepository('team/app');
const other = parseRepository('team/other');
const outside = parseRepository('lab/app');

const image = buildImage({ layers: [patternBlob('layer', 10_000)] });
const imageBytes = [...image.blobs, ...image.manifests].reduce((sum, part) => sum + part.descriptor.size, 0);

async function putTag(rig: HostedRig, name: typeof app, tag: string): Promise<string> {
  const manifest = { bytes: image.bytes, mediaType: image.mediaType, tags: [] };
  try {
    await rig.registry.putManifest(name, parseReference(tag), manifest, writing());
    return 'pushed';
  } catch (error) {
    return String(error);
  }
}

async function upload(rig: HostedRig, name: typeof app, seed: string, size: number): Promise<string> {
  const blob = patternBlob(seed, size);
  const options = writing();
  try {
    const session = await rig.registry.startUpload(name, {}, options);
    if (session.kind === 'mounted') return 'mounted';
    await session.append(undefined, chunksOf(blob.slice(0, size)), { signal: options.signal });
    await session.commit(blob.digest, { signal: options.signal });
    return 'pushed';
  } catch (error) {
    return String(error);
  }
}

async function* chunksOf(bytes: Buffer) {
  yield bytes;
}

/** Both pushes have reached their commit, or one of them was refused, before any commit goes on. */
function meetAtCommit(rig: HostedRig, count: number): { readonly go: () => void; arrived(): number } {
  const gate = deferred();
  let arrived = 0;
  rig.beforeCommit = async () => {
    arrived += 1;
    if (arrived === count) gate.resolve();
    await gate.promise;
  };
  return { go: () => gate.resolve(), arrived: () => arrived };
}

test('two uploads that do not both fit, both before their commit: one is refused, and then the other may be smaller', async () => {
  const rig = await createHostedRig({ limits: { rules: [{ repositories: ['team/**'], maxBytes: 100 }] } });
  const meeting = meetAtCommit(rig, 2);
  const first = upload(rig, app, 'a', 60);
  await expect.poll(() => meeting.arrived()).toBe(1);
  const refused = await upload(rig, other, 'b', 60);
  expect(refused).toMatch(/at most 100 B, 60 B are used and 60 B more are wanted/);
  meeting.go();
  expect(await first).toBe('pushed');
  rig.beforeCommit = async () => {};
  expect(await upload(rig, other, 'c', 40)).toBe('pushed');
  expect(await upload(rig, other, 'd', 1)).toMatch(/at most 100 B/);
});

test('one digest that is pushed into two repositories of the pattern at once counts once, before and after', async () => {
  const rig = await createHostedRig({ limits: { rules: [{ repositories: ['team/**'], maxBytes: 100 }] } });
  const meeting = meetAtCommit(rig, 2);
  expect(await Promise.all([upload(rig, app, 'a', 60), upload(rig, other, 'a', 60)])).toEqual([
    'pushed',
    'pushed',
  ]);
  expect(meeting.arrived()).toBe(2);
  rig.beforeCommit = async () => {};
  expect(await upload(rig, app, 'b', 40)).toBe('pushed');
});

test('a failed commit gives its room back', async () => {
  const rig = await createHostedRig({ limits: { rules: [{ repositories: ['team/**'], maxBytes: 100 }] } });
  rig.beforeCommit = async () => Promise.reject(new Error('the disk'));
  expect(await upload(rig, app, 'a', 60)).toMatch(/the disk/);
  rig.beforeCommit = async () => {};
  expect(await upload(rig, app, 'b', 100)).toBe('pushed');
});

test('two manifests that both want the last tag: one is refused; the same tag again is not', async () => {
  const rig = await createHostedRig({ limits: { rules: [{ repositories: ['team/**'], maxTags: 1 }] } });
  for (const name of [app, other]) await rig.push(name, ...image.blobs.map(({ content }) => content));
  const meeting = meetAtCommit(rig, 2);
  const first = putTag(rig, app, 'v1');
  await expect.poll(() => meeting.arrived()).toBe(1);
  expect(await putTag(rig, other, 'v1')).toMatch(
    /at most 1 tags, 1 tags are used and 1 tags more are wanted/,
  );
  meeting.go();
  expect(await first).toBe('pushed');
  rig.beforeCommit = async () => {};
  expect(await putTag(rig, app, 'v1')).toBe('pushed');
  expect(await putTag(rig, app, 'v2')).toMatch(/at most 1 tags/);
  await rig.registry.deleteTag(app, parseTag('v1'), writing());
  expect(await putTag(rig, app, 'v2')).toBe('pushed');
});

test('hosted.max_size counts every repository, manifests too; used up, it stops an upload before its first byte', async () => {
  const rig = await createHostedRig({ limits: { maxBytes: imageBytes } });
  await rig.push(outside, ...image.blobs.map(({ content }) => content));
  await rig.push(app, ...image.blobs.map(({ content }) => content)); // the same digests
  expect(await putTag(rig, app, 'v1')).toBe('pushed');
  expect(await upload(rig, app, 'more', 1)).toMatch(/hosted.max_size/);
  const linked = await rig.registry.startUpload(
    app,
    { digest: patternBlob('layer', 10_000).digest },
    writing(),
  );
  if (linked.kind === 'mounted') throw new Error('no mount was asked for');
  const { signal } = writing();
  await linked.append(undefined, chunksOf(patternBlob('layer', 10_000).slice(0, 10_000)), { signal });
  await linked.commit(patternBlob('layer', 10_000).digest, { signal }); // linked already: it adds nothing
});
