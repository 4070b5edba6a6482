/** What is known of lists and of what is missing outlives a restart: images that are verified at admission start while the upstream is away. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { get } from '../support/client.ts';
import { buildArtifact, buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const image = buildImage({ layers: ['first'] });
const other = buildImage({ layers: ['unsigned'] });
const signature = buildArtifact({ artifactType: 'application/x-sig', subject: image });
const base = '/v2/library/alpine';
const hex = (digest: string): string => digest.replace(':', '-');
const questions = [
  `${base}/tags/list`,
  `${base}/referrers/${image.digest}`,
  `${base}/referrers/${other.digest}`,
  `${base}/manifests/${hex(image.digest)}.sig`,
  `${base}/manifests/${hex(other.digest)}`,
];

async function ask(url: string): Promise<[number, string | undefined][]> {
  const answers: [number, string | undefined][] = [];
  for (const path of questions) {
    const { status, sha256 } = await get(url, path);
    answers.push([status, status === 200 ? sha256 : undefined]);
  }
  return answers;
}

test.each([false, true])(
  'lists and misses answer after a restart without the upstream; fallback tag: %s',
  async noReferrers => {
    const upstream = await startFakeUpstream({ quirks: { noReferrers } });
    upstream.put('library/alpine', image, 'latest');
    upstream.put('library/alpine', other, 'other');
    upstream.put('library/alpine', signature);
    const clock = { ms: 1_700_000_000_000 };
    const now = () => clock.ms;
    const before = await startTestMirror({ upstream, now });
    for (const tag of ['latest', 'other']) await get(before.url, `${base}/manifests/${tag}`);
    const answers = await ask(before.url);
    expect(answers.map(([status]) => status)).toEqual([200, 200, 200, 404, 404]);
    await get(before.url, `${base}/referrers/sha256:${'a'.repeat(64)}`); // nothing of it is held
    await before.close();
    await upstream.refuse();
    upstream.log.clear();
    clock.ms += 3_600_000;
    const again = await startTestMirror({ upstream, now, storePath: before.storePath });
    expect(await ask(again.url)).toEqual(answers);
    expect((await get(again.url, `${base}/referrers/sha256:${'a'.repeat(64)}`)).status).toBe(503);
    expect(upstream.lines()).toEqual([]);
  },
);

test('within its ttl a kept list costs nothing; a damaged one costs its questions', async () => {
  const upstream = await startFakeUpstream();
  upstream.put('library/alpine', image, 'latest');
  const now = () => 1_700_000_000_000;
  const before = await startTestMirror({ upstream, now });
  await get(before.url, `${base}/manifests/latest`);
  const tags = await get(before.url, `${base}/tags/list`);
  await before.close();
  upstream.log.clear();
  const again = await startTestMirror({ upstream, now, storePath: before.storePath });
  expect((await get(again.url, `${base}/tags/list`)).sha256).toBe(tags.sha256);
  expect(upstream.lines()).toEqual([]);
  await again.close();
  await writeFile(join(before.storePath, 'records-v1/docker.io/library/alpine/_tags'), 'damaged');
  const third = await startTestMirror({ upstream, now, storePath: before.storePath });
  expect((await get(third.url, `${base}/tags/list`)).sha256).toBe(tags.sha256);
  expect(upstream.lines()).toEqual(['GET tags/list?n=1000']);
});
