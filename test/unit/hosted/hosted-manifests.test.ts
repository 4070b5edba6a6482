/** Manifests from memory, and the times of pulls. */
import { rename } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { parseRepository, parseTag } from '../../../src/oci/name.ts';
import { anonymousCaller } from '../../../src/registry/caller.ts';
import { createHostedRig, writing } from '../../support/hosted-rig.ts';
import { buildImage } from '../../support/images.ts';

const app = parseRepository('team/app');
const other = parseRepository('team/other');
const latest = parseTag('latest');
const image = buildImage();
const hour = 3_600_000;

test('what was pushed is answered at once, without its file, by those repositories that have it', async () => {
  const rig = await createHostedRig();
  await rig.pushImage(app, image, 'latest');
  await rename(rig.layout.blobsFolder, `${rig.layout.blobsFolder}.away`);
  for (const reference of [latest, image.digest]) {
    const answer = rig.registry.manifestAtOnce(app, reference);
    expect([answer?.outcome, answer?.descriptor, answer?.bytes]).toEqual([
      'hit',
      image.descriptor,
      image.bytes,
    ]);
    expect(rig.registry.manifestAtOnce(other, reference)).toBeUndefined();
  }
  expect(rig.registry.manifestAtOnce(app, parseTag('none'))).toBeUndefined();
});

test('what was deleted is not answered any more, from memory neither', async () => {
  const rig = await createHostedRig();
  await rig.pushImage(app, image, 'latest');
  await rig.registry.deleteTag(app, latest, writing());
  expect(rig.registry.manifestAtOnce(app, latest)).toBeUndefined();
  expect(rig.registry.manifestAtOnce(app, image.digest)).toBeDefined();
  await rig.registry.deleteManifest(app, image.digest, writing());
  expect(rig.registry.manifestAtOnce(app, image.digest)).toBeUndefined();
  await expect(rig.registry.manifest(app, image.digest)).rejects.toMatchObject({ code: 'MANIFEST_UNKNOWN' });
});

test('a pull is noted to the hour, each manifest once an hour, and no answer waits for it', async () => {
  const rig = await createHostedRig();
  await rig.pushImage(app, image, 'latest');
  const pulledAt = () => rig.log.peek(app)?.manifest(image.digest)?.pulledAt;
  let commits = 0;
  rig.beforeCommit = async () => {
    commits += 1;
  };
  const noted = async (count: number) => {
    await rig.pullTimes.flush();
    expect([commits, pulledAt()]).toEqual([count, Math.floor(rig.nowMs / hour) * hour]);
  };
  for (let pulls = 0; pulls < 5; pulls += 1) rig.registry.manifestAtOnce(app, latest);
  await noted(1);
  for (let pulls = 0; pulls < 5; pulls += 1) await rig.registry.manifest(app, latest);
  await noted(1);
  rig.nowMs += hour;
  rig.registry.manifestAtOnce(app, image.digest);
  await noted(2);
});

test('a HEAD is no pull, from memory or not; the GET that follows it is one', async () => {
  const rig = await createHostedRig();
  await rig.pushImage(app, image, 'latest');
  const pulledAt = async () => {
    await rig.pullTimes.flush();
    return rig.log.peek(app)?.manifest(image.digest)?.pulledAt;
  };
  expect(rig.registry.manifestAtOnce(app, latest, 'HEAD')?.descriptor).toEqual(image.descriptor);
  expect((await rig.registry.resolve(app, latest, writing())).descriptor).toEqual(image.descriptor);
  expect(await pulledAt()).toBeUndefined();
  rig.registry.manifestAtOnce(app, image.digest);
  expect(await pulledAt()).toBe(Math.floor(rig.nowMs / hour) * hour);
});

test('a HEAD by a pusher makes the link of a manifest without a tag young again; one that went meanwhile is unknown', async () => {
  const rig = await createHostedRig();
  await rig.pushImage(app, image);
  rig.nowMs += 48 * hour;
  const linkedAt = () => rig.log.peek(app)?.link(image.digest)?.at;
  expect(linkedAt()).toBeLessThan(rig.nowMs);
  expect(rig.registry.manifestAtOnce(app, image.digest, 'HEAD')).toBeUndefined(); // a log is no matter of memory
  await rig.registry.resolve(app, image.digest, { ...writing(), caller: anonymousCaller });
  expect(linkedAt()).toBeLessThan(rig.nowMs);
  await rig.registry.resolve(app, image.digest, writing());
  expect(linkedAt()).toBe(rig.nowMs);
  rig.nowMs += 48 * hour;
  rig.beforeCommit = async () => {
    rig.beforeCommit = async () => {};
    await rig.log.commit(app, [
      { type: 'drop-manifest', digest: image.digest, at: rig.nowMs, how: 'collect' },
    ]);
  };
  await expect(rig.registry.resolve(app, image.digest, writing())).rejects.toMatchObject({
    code: 'MANIFEST_UNKNOWN',
  });
});
