/** A collection whose repository changes between its decision and its commit. */
import { expect, test } from 'vitest';
import { Collector } from '../../../../src/hosted/gc/collector.ts';
import { parseReference, parseRepository } from '../../../../src/oci/name.ts';
import { createHostedRig, type HostedRig, writing } from '../../../support/hosted-rig.ts';
import { type BuiltImage, buildImage } from '../../../support/images.ts';
import { Recorder } from '../../../support/recorder.ts';

const app = parseRepository('team/app');
const dayMs = 24 * 3_600_000;
const first = buildImage({ layers: ['first'] });
const second = buildImage({ layers: ['second'] });
const third = buildImage({ layers: ['third'] });
const { signal } = new AbortController();

async function start() {
  const rig = await createHostedRig();
  const removed: string[] = [];
  const collector = new Collector({
    log: rig.gatedLog,
    references: { countOf: () => 1 },
    owners: { settled: async () => {}, releaseAgain: () => {}, notCached: async digests => digests },
    policy: { graceMs: dayMs, undeleteMs: dayMs, untaggedTtlMs: 30 * dayMs },
    flushPulls: async () => {},
    observer: {
      collected: (kind, count) => void (count > 0 && removed.push(`${count} ${kind}`)),
      freed: () => {},
      ended: () => {},
    },
    logger: new Recorder().logger,
    now: () => rig.nowMs,
  });
  for (const image of [first, second, third]) await rig.pushImage(app, image, 'latest');
  rig.nowMs += 60 * dayMs; // the first two have lost their tag long ago
  return { rig, collector, removed };
}

function put({ registry }: HostedRig, { bytes, mediaType }: BuiltImage, tag: string) {
  return registry.putManifest(app, parseReference(tag), { bytes, mediaType, tags: [] }, writing());
}

test('a tag that is put on what it would drop: it decides anew, the image stays whole, and the rest goes', async () => {
  const { rig, collector, removed } = await start();
  let commits = 0;
  rig.beforeCommit = async () => {
    commits += 1;
    if (commits > 1) return;
    await put(rig, first, 'v1');
  };
  const { repositories } = await collector.collect({ dryRun: false }, signal);
  expect(repositories.map(({ manifests, links }) => [manifests, links])).toEqual([[1, second.blobs.length]]);
  expect(removed).toEqual(['1 manifest', `${second.blobs.length} link`]);
  const kept = rig.log.peek(app);
  for (const image of [first, third])
    for (const { descriptor } of [...image.blobs, ...image.manifests])
      expect(kept?.link(descriptor.digest)).toBeDefined();
  expect([kept?.manifest(second.digest), kept?.tags()]).toEqual([undefined, ['latest', 'v1']]);
});

test('a repository that changes before each of its commits is left for the next run', async () => {
  const { rig, collector, removed } = await start();
  let n = 0;
  let isOurs = false;
  rig.beforeCommit = async () => {
    if (isOurs) return;
    isOurs = true;
    await put(rig, third, `t${n++}`);
    isOurs = false;
  };
  const { repositories, skipped } = await collector.collect({ dryRun: false }, signal);
  expect([repositories, removed]).toEqual([[], []]);
  expect(skipped).toEqual([{ repository: 'team/app', reason: 'it is changed all the time' }]);
  rig.beforeCommit = async () => {};
  expect((await collector.collect({ dryRun: false }, signal)).repositories).toHaveLength(1);
});
