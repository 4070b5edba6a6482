/** Manifests from memory, and the times of pulls. */
import { rename } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { parseRepository, parseTag } from '../../../src/oci/name.ts';
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
