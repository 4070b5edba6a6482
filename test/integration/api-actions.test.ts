/** The actions of the page as jobs: what they change, what their dry runs say before, what they refuse, and what the audit hears of them. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type ApiRig, openImage, pushedImage, startApiRig } from '../support/api-rig.ts';
import { buildImage } from '../support/images.ts';
import { tempDir } from '../support/temp-dir.ts';
import { bytesOf } from './commands-rig.ts';

async function tagsOf(rig: ApiRig, repository: string): Promise<readonly (string | null)[]> {
  return (await rig.read('images', `?repository=${repository}`, 'admin')).images.map(({ tag }) => tag);
}

/** All of its blobs have their place on disk. */
async function held(rig: ApiRig, image: string): Promise<void> {
  const row = async () => (await rig.read('image', `?name=${image}`, 'admin')).image.complete;
  await expect.poll(row).toBe(true);
}

test('pin and unpin, and a pinned image is not evicted', async () => {
  const rig = await startApiRig();
  await rig.pull('library/open', openImage);
  await held(rig, 'open');
  const pinned = async () => (await rig.read('image', '?name=open', 'admin')).image.pinned;
  expect(await rig.act('pin', { images: ['open'] })).toMatchObject({ state: 'done', images: ['open'] });
  expect(await pinned()).toBe(true);
  const refused = await rig.act('evict', { images: ['open'] });
  expect(refused).toMatchObject({
    state: 'failed',
    results: [{ image: 'open', error: { code: 'DENIED', message: expect.stringContaining('pinned') } }],
  });
  expect(await rig.act('unpin', { images: ['open'] })).toMatchObject({ state: 'done' });
  expect(await pinned()).toBe(false);
});

test('evict says first what it frees and which tags go, and then does just that', async () => {
  const rig = await startApiRig();
  const other = buildImage({ layers: ['open layer', 'of another'] });
  rig.upstream.put('library/open', other, 'other');
  await rig.pull('library/open', openImage);
  await rig.pull('library/open@other', other);
  await held(rig, 'open');
  await held(rig, 'open:other');
  const images = ['docker.io/library/open:other'];
  const dry = await rig.act('evict', { images, dryRun: true });
  const shared = openImage.layers[0]?.descriptor.size ?? 0;
  expect(dry.results).toMatchObject([{ freedBytes: bytesOf(other) - shared, tags: ['other'], error: null }]);
  expect(await tagsOf(rig, 'open')).toEqual(['latest', 'other']);
  await held(rig, 'open:other');
  const done = await rig.act('evict', { images });
  expect(done.results[0]?.freedBytes).toBe(dry.results[0]?.freedBytes);
  expect(await tagsOf(rig, 'open')).toEqual(['latest']);
  await held(rig, 'open');
});

test('warm fetches what is missing, once, and says what could not be fetched', async () => {
  const rig = await startApiRig();
  await rig.mirror.settled();
  const job = await rig.act('warm', { images: ['open', 'open:nosuch'] });
  expect(job.results.map(({ image, fetchedBytes, error }) => [image, fetchedBytes, error?.code])).toEqual([
    ['open', bytesOf(openImage), undefined],
    ['open:nosuch', null, 'UNAVAILABLE'],
  ]);
  await held(rig, 'open');
  const again = await rig.act('warm', { images: ['open'] });
  expect(again.results).toMatchObject([{ summary: 'nothing was missing', fetchedBytes: 0 }]);
  const stats = await rig.read('stats', '', 'reader');
  expect(stats.daemon?.warm?.runs).toHaveLength(3);
});

test('scrub compares all that is held', async () => {
  const rig = await startApiRig();
  await rig.pull('open', openImage);
  await held(rig, 'open');
  const { results } = await rig.act('scrub', {});
  expect(results.map(({ summary }) => summary)).toEqual([
    expect.stringMatching(/^\d+ files compared, .*: nothing found$/),
  ]);
  expect((await rig.read('stats', '', 'reader')).daemon?.scrub).toMatchObject({
    running: null,
    damagedFiles: 0,
  });
});

test('delete, restore and promote of hosted images, one job for many', async () => {
  const rig = await startApiRig();
  for (const tag of ['1', '2']) await rig.push('team/app', pushedImage, tag);
  const images = ['team/app:1', 'team/app:2', 'team/app:nosuch'];
  const dry = await rig.act('delete', { images: images.slice(0, 1), dryRun: true });
  expect(dry.results).toMatchObject([{ tags: ['1'], freedBytes: 0, error: null }]);
  expect(await tagsOf(rig, 'team/app')).toEqual(['1', '2']);
  const job = await rig.act('delete', { images });
  expect(job.state).toBe('failed');
  expect(job.results.map(({ image, error }) => [image, error?.code])).toEqual([
    ['team/app:1', undefined],
    ['team/app:2', undefined],
    ['team/app:nosuch', 'MANIFEST_UNKNOWN'],
  ]);
  expect(job.progress).toEqual({ done: 3, total: 3, what: 'images' });
  expect(await tagsOf(rig, 'team/app')).toEqual([null]);
  expect(await rig.act('restore', { images: ['team/app:1'] })).toMatchObject({ results: [{ tags: ['1'] }] });
  expect(await tagsOf(rig, 'team/app')).toEqual(['1']);
  await rig.pull('library/open', openImage);
  const promoted = await rig.act('promote', { images: ['open:latest'], to: 'team/open:v1' });
  expect(promoted).toMatchObject({
    state: 'done',
    results: [{ summary: expect.stringContaining('team/open:v1') }],
  });
  const lastMoves = ['team/app:1', 'team/open:v1'].map(async name => {
    const [last] = (await rig.read('image', `?name=${name}`, 'admin')).moves;
    return [last?.how, last?.user];
  });
  expect(await Promise.all(lastMoves)).toEqual([
    ['restore', 'admin'],
    ['promote', 'admin'],
  ]);
  expect(await tagsOf(rig, 'team/open')).toEqual(['v1']);
  expect(await rig.act('gc', { dryRun: true })).toMatchObject({
    state: 'done',
    results: [{ freedBytes: 0 }],
  });
});

test('a scrub compares what is held, and takes no images', async () => {
  const rig = await startApiRig();
  await rig.push('team/app', pushedImage, '1');
  await rig.mirror.settled();
  const job = await rig.act('scrub', {});
  expect(job).toMatchObject({ state: 'done', results: [{ image: null, error: null }] });
  expect(job.results[0]?.summary).toContain('nothing found');
});

test.each([
  ['pin', {}, 'needs images'],
  ['scrub', { images: ['team/app:1'] }, 'takes no images'],
  ['gc', { images: ['team/app:1'] }, 'takes no images'],
  ['pin', { images: ['open'], dryRun: true }, 'takes no dryRun'],
  ['promote', { images: ['open'] }, 'takes one image'],
  ['evict', { images: ['NOT A NAME'] }, 'expected [HOST/]REPOSITORY'],
  ['evict', { images: 'open' }, 'does not fit'],
  ['evict', { images: ['open'], more: 1 }, 'does not fit'],
  ['evict', '{"images":', 'is not JSON'],
])('%s of %j is refused, and no job begins', async (action, body, why) => {
  const rig = await startApiRig();
  const answer = await rig.call('POST', `actions/${action}`, { user: 'admin', body });
  expect([answer.status, answer.body.toString()]).toEqual([400, expect.stringContaining(why)]);
});

test('the audit has every change with its user, and none of the dry runs', async () => {
  const file = join(await tempDir(), 'audit.log');
  const rig = await startApiRig({ config: { log: { audit: file, level: 'debug' } } });
  await rig.pull('library/open', openImage);
  await held(rig, 'open');
  await rig.act('evict', { images: ['open'], dryRun: true });
  await rig.act('evict', { images: ['open'] });
  await rig.call('POST', 'actions/evict', { user: 'reader', body: { images: ['open'] } });
  const lines = async () =>
    (await readFile(file, 'utf8'))
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line))
      .filter(({ action, result }) => action === 'evict' || result === 'DENIED')
      .map(({ user, result }) => [user, result]);
  await expect.poll(lines).toEqual([
    ['admin', 'ok'],
    ['reader', 'DENIED'],
  ]);
});
