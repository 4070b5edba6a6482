/**
 * `history`, `restore`, `promote` and `retention --explain` over the admin contract of a running mirror, and `history` and `restore` without
 * one. What the upstream was asked is listed exactly.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { AdminOptions } from '../../src/cli/admin-client.ts';
import { runHistory, runPromote, runRestore, runRetention } from '../../src/cli/tags/tags.ts';
import { get } from '../support/client.ts';
import { type BuiltImage, buildImage, buildIndex } from '../support/images.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { blobLine, manifestLine } from '../support/request-log.ts';
import { filesUnder, tempDir } from '../support/temp-dir.ts';
import { pushBlob, send } from '../support/upload-client.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';
import { pull } from './commands-rig.ts';

const one = buildImage({ layers: ['one'] });
const two = buildImage({ layers: ['two'] });
const hourMs = 3_600_000;
const noTime = { digest: undefined, at: undefined };

interface Rig {
  readonly upstream: FakeUpstream;
  readonly mirror: TestMirror;
  /** Forward. */
  wind(ms: number): void;
}

async function start(
  hosted: Record<string, unknown> = {},
  config: Record<string, unknown> = {},
): Promise<Rig> {
  let ahead = 0;
  const upstream = await startFakeUpstream();
  const mirror = await startTestMirror({
    upstream,
    config: {
      hosted: { repositories: ['team/**'], ...hosted },
      ...config,
      tags: { ttl: '400d' },
      access: {
        rules: [{ repositories: ['**'], users: ['anonymous'], actions: ['pull', 'push', 'delete'] }],
      },
    },
    now: () => Date.now() + ahead,
  });
  await mirror.settled();
  return {
    upstream,
    mirror,
    wind: ms => {
      ahead += ms;
    },
  };
}

/** A command in this process. */
async function run(
  { mirror }: Pick<Rig, 'mirror'>,
  work: (options: AdminOptions) => Promise<number>,
  json = false,
) {
  const [output, errors]: [string[], string[]] = [[], []];
  const code = await work({
    file: mirror.file,
    env: {},
    cwd: '/',
    json,
    write: text => void output.push(text),
    writeError: text => void errors.push(text),
  });
  return { code, output: output.join(''), errors: errors.join('') };
}

async function push({ mirror }: Pick<Rig, 'mirror'>, tag: string, image: BuiltImage, name = 'team/app') {
  for (const { content } of image.blobs) expect(await pushBlob(mirror.url, name, content)).toBe(201);
  for (const { descriptor, bytes } of image.manifests) {
    const reference = descriptor.digest === image.digest ? tag : descriptor.digest;
    const headers = { 'Content-Type': descriptor.mediaType };
    const { status } = await send(mirror.url, 'PUT', `/v2/${name}/manifests/${reference}`, {
      headers,
      body: bytes,
    });
    expect(status).toBe(201);
  }
}

async function remove({ mirror }: Pick<Rig, 'mirror'>, what: string): Promise<number> {
  return (await send(mirror.url, 'DELETE', `/v2/team/app/${what}`)).status;
}

/** Resolves with the digest that a client gets; undefined: 404. */
async function digestAt({ mirror }: Pick<Rig, 'mirror'>, name: string): Promise<string | undefined> {
  const colon = name.indexOf(':');
  const [repository, reference] = [name.slice(0, colon), name.slice(colon + 1)];
  const { status, headers } = await get(mirror.url, `/v2/${repository}/manifests/${reference}`);
  return status === 200 ? headers.get('docker-content-digest') : undefined;
}

test('an overwritten tag goes back, to a time, and to a digest; the history has all of it', async () => {
  const rig = await start();
  await push(rig, 'v1', one);
  rig.wind(hourMs);
  await push(rig, 'v1', two);
  rig.wind(hourMs);
  const back = await run(rig, options => runRestore(options, 'team/app:v1', noTime));
  expect(back).toMatchObject({ code: 0, errors: '' });
  expect(back.output).toContain(`v1 points to ${one.digest}, and no longer to ${two.digest}`);
  expect(await digestAt(rig, 'team/app:v1')).toBe(one.digest);
  const at = new Date(Date.now() + 1.5 * hourMs).toISOString();
  expect((await run(rig, options => runRestore(options, 'team/app:v1', { ...noTime, at }))).code).toBe(0);
  expect(await digestAt(rig, 'team/app:v1')).toBe(two.digest);
  const digest = `@${one.digest}`;
  expect((await run(rig, options => runRestore(options, 'team/app:v1', { ...noTime, digest }))).code).toBe(0);
  expect(await digestAt(rig, 'team/app:v1')).toBe(one.digest);
  const { output } = await run(rig, options => runHistory(options, 'team/app:v1'), true);
  const moves = JSON.parse(output).moves.map((move: Record<string, unknown>) => [
    move['digest'],
    move['how'],
    move['user'],
  ]);
  expect(moves).toEqual([
    [one.digest, 'restore', 'operator'],
    [two.digest, 'restore', 'operator'],
    [one.digest, 'restore', 'operator'],
    [two.digest, 'push', null],
    [one.digest, 'push', null],
  ]);
});

test('a deleted tag and a deleted manifest come back within hosted.undelete, and not after it', async () => {
  const rig = await start({ undelete: '2h' });
  await push(rig, 'v1', one);
  await push(rig, 'v2', one);
  expect(await remove(rig, 'manifests/v1')).toBe(202);
  expect((await run(rig, options => runRestore(options, 'team/app:v1', noTime))).code).toBe(0);
  expect(await digestAt(rig, 'team/app:v1')).toBe(one.digest);
  expect(await remove(rig, `manifests/${one.digest}`)).toBe(202);
  expect(await digestAt(rig, 'team/app:v2')).toBe(undefined);
  const { config } = one;
  if (config === undefined) throw new Error('an image has a config');
  expect(await remove(rig, `blobs/${config.descriptor.digest}`)).toBe(202); // no manifest needs it any more
  const lost = await run(rig, options => runRestore(options, `team/app@${one.digest}`, noTime));
  expect([lost.code, lost.errors]).toEqual([
    1,
    expect.stringContaining(`${config.descriptor.digest} is gone`),
  ]);
  expect(await pushBlob(rig.mirror.url, 'team/app', config.content)).toBe(201);
  const all = await run(rig, options => runRestore(options, `team/app@${one.digest}`, noTime), true);
  expect(JSON.parse(all.output)).toMatchObject({
    digest: one.digest,
    tags: [
      { tag: 'v1', from: null },
      { tag: 'v2', from: null },
    ],
    undeleted: [one.digest],
  });
  expect(await digestAt(rig, 'team/app:v2')).toBe(one.digest);
  for (const { descriptor } of one.blobs)
    expect((await get(rig.mirror.url, `/v2/team/app/blobs/${descriptor.digest}`)).sha256).toBe(
      descriptor.digest,
    );
  expect(await remove(rig, `manifests/${one.digest}`)).toBe(202);
  rig.wind(3 * hourMs);
  const late = await run(rig, options => runRestore(options, 'team/app:v1', noTime));
  expect([late.code, late.errors]).toEqual([1, expect.stringContaining(`has no ${one.digest} any more`)]);
});

test('an index comes back with its children; an immutable tag is not moved, but comes back', async () => {
  const rig = await start({ immutable: ['team/**:v*'] });
  const index = buildIndex();
  await push(rig, 'v1', index);
  for (const { descriptor } of [...index.manifests].reverse()) {
    const fixed = descriptor.digest === index.digest;
    expect(await remove(rig, `manifests/${descriptor.digest}`)).toBe(fixed ? 405 : 202);
  }
  expect((await run(rig, options => runRestore(options, `team/app@${index.digest}`, noTime))).code).toBe(0);
  for (const { descriptor } of index.manifests)
    expect(await digestAt(rig, `team/app:${descriptor.digest}`)).toBeDefined();
  await push(rig, 'main', one);
  const moved = await run(rig, options =>
    runRestore(options, 'team/app:v1', { ...noTime, digest: one.digest }),
  );
  expect([moved.code, moved.errors]).toEqual([1, expect.stringContaining('immutable')]);
  expect(await digestAt(rig, 'team/app:v1')).toBe(index.digest);
});

test('without a daemon: history and restore work, promote says what it needs', async () => {
  const rig = await start();
  await push(rig, 'v1', one);
  await push(rig, 'v1', two);
  await rig.mirror.close();
  expect((await run(rig, options => runRestore(options, 'team/app:v1', noTime))).errors).toBe('');
  const { output } = await run(rig, options => runHistory(options, 'team/app:v1'), true);
  expect(JSON.parse(output).moves[0]).toMatchObject({ digest: one.digest, how: 'restore', content: 'held' });
  const promoted = await run(rig, options => runPromote(options, 'busybox', 'team/busybox', []));
  expect(promoted).toMatchObject({ code: 1, errors: expect.stringContaining('needs a running daemon') });
});

test('the history of a mirrored tag is what this mirror saw, and it can not be restored', async () => {
  const rig = await start();
  rig.upstream.put('library/app', one, 'latest');
  await pull(rig.mirror, 'library/app', one);
  const { output } = await run(rig, options => runHistory(options, 'app'), true);
  expect(JSON.parse(output)).toMatchObject({
    image: 'docker.io/library/app:latest',
    hosted: false,
    moves: [{ digest: one.digest, content: 'held', how: null }],
  });
  const refused = await run(rig, options => runRestore(options, 'app', noTime));
  expect([refused.code, refused.errors]).toEqual([1, expect.stringContaining('is not hosted here')]);
  expect((await run(rig, options => runHistory(options, 'nothing'))).code).toBe(1);
});

test('promote links what is held: the upstream is asked nothing, no file is written twice, and the image pulls', async () => {
  const rig = await start();
  rig.upstream.put('library/app', one, 'latest');
  await pull(rig.mirror, 'library/app', one);
  rig.upstream.log.clear();
  const blobFiles = async () =>
    (await filesUnder(rig.mirror.storePath)).filter(file => file.startsWith('blobs-v1/'));
  const before = await blobFiles();
  const { output, errors } = await run(rig, options => runPromote(options, 'app', 'team/app:v1', []), true);
  expect(errors).toBe('');
  expect(JSON.parse(output)).toMatchObject({
    digest: one.digest,
    fetchedBytes: 0,
    manifests: 1,
    previous: null,
  });
  expect(rig.upstream.lines()).toEqual([]);
  expect(await blobFiles()).toEqual(before);
  expect(await digestAt(rig, 'team/app:v1')).toBe(one.digest);
  for (const { descriptor } of one.blobs)
    expect((await get(rig.mirror.url, `/v2/team/app/blobs/${descriptor.digest}`)).status).toBe(200);
  const history = await run(rig, options => runHistory(options, 'team/app:v1'), true);
  expect(JSON.parse(history.output).moves[0]).toMatchObject({ how: 'promote', user: 'operator' });
});

test('promote fetches what is missing, once; an index as a whole, then nothing more by platform', async () => {
  const rig = await start();
  const index = buildIndex();
  const [amd64] = index.children;
  if (amd64 === undefined) throw new Error('the index has children');
  rig.upstream.put('library/multi', index, 'latest');
  const byPlatform = await run(
    rig,
    options => runPromote(options, 'multi', 'team/multi:amd64', ['linux/amd64']),
    true,
  );
  expect(byPlatform.errors).toBe('');
  expect(JSON.parse(byPlatform.output)).toMatchObject({ digest: index.digest, manifests: 2 });
  const asked = (image: BuiltImage) => [
    manifestLine(image.digest),
    ...image.blobs.map(({ descriptor }) => blobLine(descriptor.digest)),
  ];
  expect([...rig.upstream.lines()].sort()).toEqual([manifestLine('latest'), ...asked(amd64)].sort());
  rig.upstream.log.clear();
  expect((await run(rig, options => runPromote(options, 'multi', 'team/multi:all', []))).errors).toBe('');
  const lines = rig.upstream.lines();
  expect(lines).toHaveLength(new Set(lines).size);
  expect(lines.every(line => !asked(amd64).includes(line))).toBe(true);
  rig.upstream.log.clear();
  expect((await run(rig, options => runPromote(options, 'multi', 'team/other:all', []))).errors).toBe('');
  expect(rig.upstream.lines()).toEqual([]);
  const no = await run(rig, options => runPromote(options, 'multi', 'team/multi:x', ['linux/s390x']));
  expect([no.code, no.errors]).toEqual([1, expect.stringContaining('has no image for the given platforms')]);
  for (const { descriptor } of index.blobs)
    expect((await get(rig.mirror.url, `/v2/team/other/blobs/${descriptor.digest}`)).status).toBe(200);
});

test('promote over a quota, to an immutable tag, or of what is gone upstream changes nothing', async () => {
  const rig = await start({
    quotas: [{ repositories: ['team/small'], max_size: '1KB' }],
    immutable: ['team/app:v*'],
  });
  rig.upstream.put('library/app', one, 'latest');
  const over = await run(rig, options => runPromote(options, 'app', 'team/small', []));
  expect([over.code, over.errors]).toEqual([1, expect.stringContaining('more are wanted')]);
  expect(rig.upstream.lines()).toEqual([manifestLine('latest')]); // refused before a layer is fetched
  expect((await get(rig.mirror.url, '/v2/team/small/tags/list')).status).toBe(404);
  await push(rig, 'v1', two);
  const fixed = await run(rig, options => runPromote(options, 'app', 'team/app:v1', []));
  expect([fixed.code, fixed.errors]).toEqual([1, expect.stringContaining('immutable')]);
  const three = buildImage({ layers: ['three'] });
  const [layer] = three.layers;
  if (layer === undefined) throw new Error('an image has layers');
  rig.upstream.put('library/holey', three, 'latest');
  rig.upstream.content.removeBlob('library/holey', layer.descriptor.digest);
  const holey = await run(rig, options => runPromote(options, 'holey', 'team/holey', []));
  expect(holey.code).toBe(1);
  expect((await get(rig.mirror.url, '/v2/team/holey/tags/list')).status).toBe(404);
  const back = await run(rig, options => runPromote(options, 'app', 'library/app', []));
  expect([back.code, back.errors]).toEqual([1, expect.stringContaining('is not hosted here')]);
});

test('retention --explain names the rule for each tag, and changes nothing', async () => {
  const rig = await start({
    immutable: ['team/**:v1'],
    retention: [
      { repositories: ['team/app'], tags: ['v*'], keep: { newest: 1 } },
      { tags: ['pr-*'], keep: { pushed_within: '1h' } },
    ],
  });
  for (const tag of ['v1', 'v2', 'v3', 'pr-1', 'latest']) {
    await push(rig, tag, buildImage({ layers: [`layer of ${tag}`] }));
    rig.wind(hourMs);
  }
  const { output, errors } = await run(rig, options => runRetention(options), true);
  expect(errors).toBe('');
  const found = JSON.parse(output).tags.map((tag: Record<string, unknown>) => [
    tag['tag'],
    tag['keeps'],
    tag['rule'],
    tag['reason'],
  ]);
  expect(found).toEqual([
    ['latest', true, null, 'no rule'],
    ['pr-1', false, 2, 'expired'],
    ['v1', true, 1, 'immutable'],
    ['v2', false, 1, 'expired'],
    ['v3', true, 1, 'newest'],
  ]);
  const text = await run(rig, options => runRetention(options));
  expect(text.output).toContain('2 of 5 tags go');
  expect(await digestAt(rig, 'team/app:v2')).toBeDefined();
});

test('the audit log has the restore, the promotion and what they moved', async () => {
  const audit = join(await tempDir(), 'audit.log');
  const rig = await start({}, { log: { audit } });
  rig.upstream.put('library/app', two, 'latest');
  await push(rig, 'v1', one);
  const before = (await readFile(audit, 'utf8')).length;
  expect((await run(rig, options => runPromote(options, 'app', 'team/app:v1', []))).code).toBe(0);
  expect((await run(rig, options => runRestore(options, 'team/app:v1', noTime))).code).toBe(0);
  const lines = async () => (await readFile(audit, 'utf8')).slice(before).trim().split('\n');
  await expect.poll(async () => (await lines()).length).toBe(6);
  const acts = (await lines()).map(line => JSON.parse(line));
  expect(acts.map(({ action, reference, digest, result }) => [action, reference, digest, result])).toEqual([
    ['push', 'v1', two.digest, 'ok'],
    ['tag', 'v1', two.digest, 'ok'],
    ['promote', 'team/app:v1', null, 'ok'],
    ['restore', 'v1', one.digest, 'ok'],
    ['tag', 'v1', one.digest, 'ok'],
    ['restore', 'team/app:v1', null, 'ok'],
  ]);
});
