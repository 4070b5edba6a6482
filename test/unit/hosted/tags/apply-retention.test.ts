/** Retention over a real log: what goes in an hour's run, and that a tag which moves meanwhile is decided anew. */
import { expect, test } from 'vitest';
import { ImmutableTags } from '../../../../src/hosted/immutable-tags.ts';
import { Retention, type RetentionRule } from '../../../../src/hosted/retention.ts';
import { AppliedRetention } from '../../../../src/hosted/tags/apply-retention.ts';
import type { Digest } from '../../../../src/oci/digest.ts';
import { parseReference, parseRepository, parseTag } from '../../../../src/oci/name.ts';
import {
  createHostedRig,
  type HostedRig,
  type HostedRigOptions,
  writing,
} from '../../../support/hosted-rig.ts';
import { type BuiltImage, buildImage } from '../../../support/images.ts';

const app = parseRepository('team/app');
const other = parseRepository('team/other');
const dayMs = 24 * 3_600_000;
const old = buildImage({ layers: ['old'] });
const fresh = buildImage({ layers: ['fresh'] });

async function start(
  rules: readonly RetentionRule[],
  { pinned = [], ...options }: HostedRigOptions & { readonly pinned?: readonly Digest[] } = {},
) {
  const rig = await createHostedRig(options);
  const lines: string[] = [];
  const logger = {
    child: () => logger,
    debug: () => {},
    info: (message: string) => void lines.push(message),
    warn: (message: string) => void lines.push(message),
    error: () => {},
  };
  const retention = new AppliedRetention({
    log: rig.gatedLog,
    retention: new Retention(rules),
    immutable: new ImmutableTags(options.immutable ?? []),
    isPinned: digest => pinned.includes(digest),
    logger,
    now: () => rig.nowMs,
  });
  return { rig, retention, logger, lines };
}

async function putTag(rig: HostedRig, image: BuiltImage, tag: string): Promise<void> {
  const manifest = { bytes: image.bytes, mediaType: image.mediaType, tags: [] };
  await rig.registry.putManifest(app, parseReference(tag), manifest, writing());
}

const { signal } = new AbortController();

test('what nothing keeps goes with the reason in its history; what is immutable or pinned stays', async () => {
  const { rig, retention } = await start([{ repositories: ['team/app'], tags: ['*'], keep: { newest: 1 } }], {
    immutable: ['team/*:v*'],
    pinned: [fresh.digest],
  });
  await rig.pushImage(app, old, 'v1', 'main', 'pr-1');
  await rig.pushImage(app, fresh, 'kept');
  await rig.pushImage(other, old, 'main');
  rig.nowMs += dayMs;
  expect(await retention.apply(signal)).toBe(1);
  expect(rig.log.peek(app)?.tags()).toEqual(['kept', 'main', 'v1']);
  expect(rig.log.peek(app)?.history(parseTag('pr-1'))[0]).toMatchObject({
    how: 'retention',
    from: old.digest,
  });
  expect(rig.log.peek(other)?.tags()).toEqual(['main']);
  expect(await retention.apply(signal)).toBe(0);
});

test('a tag that is pushed between the decision and its commit stays', async () => {
  const { rig, retention } = await start([
    { repositories: ['**'], tags: ['*'], keep: { pushedWithinMs: dayMs } },
  ]);
  await rig.pushImage(app, old, 'a', 'b');
  rig.nowMs += 2 * dayMs;
  await rig.push(app, ...fresh.blobs.map(({ content }) => content));
  let commits = 0;
  rig.beforeCommit = async () => {
    commits += 1;
    if (commits === 1) await putTag(rig, fresh, 'a'); // its own commit is the second one
  };
  expect(await retention.apply(signal)).toBe(1);
  expect(commits).toBe(3);
  expect(rig.log.peek(app)?.tag(parseTag('a'))?.to).toBe(fresh.digest);
  expect(rig.log.peek(app)?.tags()).toEqual(['a']);
});
