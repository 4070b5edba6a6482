/**
 * What an import changes and what it leaves alone: hosted images under the rules of pushes, tags that this side knows better, private
 * repositories, the limit of the store, and the books of what is held. And the forms of the commands.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runHistory } from '../../src/cli/tags/tags.ts';
import { exportImages, filesOf, importBundle, layoutFiles, listDigests, tarOf } from '../support/bundles.ts';
import { runCistern } from '../support/cistern-command.ts';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { type BuiltImage, buildArtifact, buildImage } from '../support/images.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { runCommand } from '../support/real/command.ts';
import { tempDir } from '../support/temp-dir.ts';
import { pushBlob, send } from '../support/upload-client.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const one = buildImage({ layers: ['one', 'shared'] });
const two = buildImage({ layers: ['two', 'shared'] });
const accept = { accept: 'application/vnd.oci.image.manifest.v1+json' };
const hostedConfig = { hosted: { repositories: ['team/**'] }, upstreams: {} };

async function pushImage(url: string, name: string, reference: string, image: BuiltImage): Promise<void> {
  for (const { content } of image.blobs) expect(await pushBlob(url, name, content)).toBe(201);
  const headers = { 'Content-Type': image.mediaType };
  const answer = await send(url, 'PUT', `/v2/${name}/manifests/${reference}`, { headers, body: image.bytes });
  expect(answer.status).toBe(201);
}

async function digestOfTag(url: string, name: string, tag: string): Promise<string | undefined> {
  const { status, headers } = await get(url, `/v2/${name}/manifests/${tag}`, { headers: accept });
  return status === 200 ? headers.get('docker-content-digest') : undefined;
}

async function bundlePath(): Promise<string> {
  return join(await tempDir(), 'bundle.tar');
}

async function historyOf({ file }: TestMirror, image: string) {
  let stdout = '';
  const options = { file, env: {}, cwd: '/', json: true, writeError: () => {} };
  await runHistory({ ...options, write: text => (stdout += text) }, image);
  return JSON.parse(stdout).moves;
}

test('hosted images go over with tags, signatures by tag and referrers; later bundles move the tag, pushes here stay', async () => {
  const there = await startTestMirror({ config: hostedConfig });
  const sbom = buildArtifact({ subject: one });
  const signature = buildArtifact({ blobs: ['signed'] });
  await pushImage(there.url, 'team/app', 'v1', one);
  await pushImage(there.url, 'team/app', sbom.digest, sbom);
  await pushImage(there.url, 'team/app', `${one.digest.replace(':', '-')}.sig`, signature);
  const bundle = await bundlePath();
  expect((await exportImages(there.file, ['team/app:v1'], bundle)).stderr).toBe('');

  const here = await startTestMirror({ config: hostedConfig });
  const done = await importBundle(here.file, bundle);
  expect([done.code, done.stderr]).toEqual([0, '']);
  expect(await digestOfTag(here.url, 'team/app', 'v1')).toBe(one.digest);
  expect(await digestOfTag(here.url, 'team/app', `${one.digest.replace(':', '-')}.sig`)).toBe(
    signature.digest,
  );
  const referrers = await get(here.url, `/v2/team/app/referrers/${one.digest}`);
  expect(JSON.parse(referrers.body.toString()).manifests).toMatchObject([{ digest: sbom.digest }]);
  expect(await historyOf(here, 'team/app:v1')).toMatchObject([{ digest: one.digest, how: 'import' }]);
  for (const { content } of one.layers)
    expect((await get(here.url, `/v2/team/app/blobs/${content.digest}`)).status).toBe(200);

  await pushImage(there.url, 'team/app', 'v1', two);
  await exportImages(there.file, ['team/app:v1'], bundle);
  expect((await importBundle(here.file, bundle)).stdout).toContain('team/app:v1: imported');
  expect(await digestOfTag(here.url, 'team/app', 'v1')).toBe(two.digest);

  await pushImage(here.url, 'team/app', 'v1', one);
  const kept = await importBundle(here.file, bundle);
  expect(kept).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(
      `team/app:v1: kept, ${two.digest}: the tag points to ${one.digest} here (push, `,
    ),
  });
  expect(await digestOfTag(here.url, 'team/app', 'v1')).toBe(one.digest);
});

test('an immutable tag, a quota and a read-only registry refuse the whole bundle', async () => {
  const bundle = await tarOf(layoutFiles({ 'team/new:1': two, 'team/new:2': two, 'team/app:v1': two }));
  for (const [hosted, says] of [
    [{ immutable: ['team/app:v*'] }, 'team/app:v1 is immutable'],
    [{ quotas: [{ repositories: ['team/app'], max_size: 5000 }] }, 'hosted.quotas of team/app'],
    [{ quotas: [{ repositories: ['team/**'], max_tags: 2 }] }, 'hosted.quotas of team/**'], // each alone would fit
    [{ read_only: 'backup until six' }, 'backup until six'],
  ] as const) {
    const before = await startTestMirror({ config: hostedConfig });
    const first = await importBundle(before.file, await tarOf(layoutFiles({ 'team/app:v1': one })));
    expect(first.code).toBe(0);
    await before.close();
    const config = { hosted: { repositories: ['team/**'], ...hosted }, upstreams: {} };
    const strict = await startTestMirror({ config, storePath: before.storePath });
    const { code, stderr } = await importBundle(strict.file, bundle);
    expect([says, code, stderr]).toEqual([says, 1, expect.stringContaining(says)]);
    expect(await digestOfTag(strict.url, 'team/new', '1')).toBeUndefined();
    expect(await digestOfTag(strict.url, 'team/app', 'v1')).toBe(one.digest);
  }
});

test('a mirrored tag that was confirmed here later than there stays; an older one moves', async () => {
  const upstream = await startFakeUpstream();
  upstream.put('library/app', one, '1');
  const clock = { ahead: 0 };
  const online = await startTestMirror({ upstream, now: () => Date.now() + clock.ahead });
  const old = await bundlePath();
  await exportImages(online.file, ['app:1'], old);
  upstream.move('library/app', '1', two);
  clock.ahead = 3_600_000;
  const young = await bundlePath();
  await exportImages(online.file, ['app:1'], young);

  const later = () => Date.now() + 2 * 3_600_000;
  const here = await startTestMirror({ upstream, config: { offline: true }, now: later });
  for (const [bundle, result, digest] of [
    [old, 'imported', one.digest],
    [young, 'imported', two.digest],
    [old, 'kept', two.digest],
  ] as const) {
    expect((await importBundle(here.file, bundle)).stdout).toContain(`docker.io/library/app:1: ${result}, `);
    expect(await digestOfTag(here.url, 'library/app', '1')).toBe(digest);
  }
  // what came with the older one is here all the same
  const byDigest = await get(here.url, `/v2/library/app/manifests/${one.digest}`, { headers: accept });
  expect(byDigest.status).toBe(200);
});

test('of an upstream with credentials, an image is open to all, unless it was private where it was exported', async () => {
  const upstream = await startFakeUpstream({
    auth: {
      kind: 'token',
      anonymous: ['library/open'],
      accounts: { u: { password: 'p', repositories: ['library/open', 'library/closed'] } },
    },
  });
  upstream.put('library/open', one, '1');
  upstream.put('library/closed', two, '1');
  const hub = { username: 'u', password: 'p' };
  const online = await startTestMirror({ upstream, hub });
  const bundle = await bundlePath();
  expect((await exportImages(online.file, ['open:1', 'closed:1'], bundle)).code).toBe(0);
  const offline = await startTestMirror({ upstream, hub, config: { offline: true } });
  const before = upstream.requests.length;
  expect((await importBundle(offline.file, bundle)).code).toBe(0);
  expect(await digestOfTag(offline.url, 'library/open', '1')).toBe(one.digest);
  const [own, shared] = two.layers;
  const statusOf = async (path: string) => (await get(offline.url, `/v2/library/${path}`)).status;
  expect(await statusOf('closed/manifests/1')).toBe(404);
  expect(await statusOf(`closed/blobs/${own?.descriptor.digest}`)).toBe(404);
  expect(await statusOf(`open/blobs/${own?.descriptor.digest}`)).toBe(404);
  expect(await statusOf(`open/blobs/${shared?.descriptor.digest}`)).toBe(200);
  expect(upstream.requests.length).toBe(before);
});

test('what comes counts in the limit of the cache, evicts what is cold, and is refused when it can not fit', async () => {
  const upstream = await startFakeUpstream();
  const cold = buildImage({ layers: [patternBlob('cold', 600_000)] });
  upstream.put('library/cold', cold, '1');
  const large = buildImage({ layers: [patternBlob('new a', 400_000), patternBlob('new b', 400_000)] });
  const config = { store: { max_size: '1MB', min_free: 0 }, hosted: { repositories: ['team/**'] } };
  const mirror = await startTestMirror({ upstream, config: { ...config, log: { level: 'debug' } } });
  await mirror.settled();
  await get(mirror.url, '/v2/library/cold/manifests/1', { headers: accept });
  const layer = cold.layers[0]?.descriptor.digest;
  expect((await get(mirror.url, `/v2/library/cold/blobs/${layer}`)).status).toBe(200);
  const bundle = await tarOf(layoutFiles({ 'docker.io/library/large:1': large }));
  expect((await importBundle(mirror.file, bundle)).code).toBe(0);
  expect(await digestOfTag(mirror.url, 'library/large', '1')).toBe(large.digest);
  const held = (await listDigests(mirror.file)).stdout;
  expect(held).not.toContain(layer);
  const bytes = await mirror.metric('cistern_store_bytes');
  expect(bytes).toBeGreaterThan(800_000);
  expect(bytes).toBeLessThan(1_000_000);

  const tooLarge = buildImage({ layers: ['a', 'b', 'c'].map(name => patternBlob(`huge ${name}`, 450_000)) });
  const mirrored = await tarOf(layoutFiles({ 'docker.io/library/huge:1': tooLarge }));
  const refused = await importBundle(mirror.file, mirrored);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('there is no room for sha256:') });
  expect(await digestOfTag(mirror.url, 'library/huge', '1')).toBeUndefined();
  // hosted content is not bounded by that limit
  const hosted = await tarOf(layoutFiles({ 'team/huge:1': tooLarge }));
  expect((await importBundle(mirror.file, hosted)).code).toBe(0);
  expect(await digestOfTag(mirror.url, 'team/huge', '1')).toBe(tooLarge.digest);
});

test('a bundle that skopeo or docker made names its image, and the books agree after a restart', async () => {
  const mirror = await startTestMirror({ config: { offline: true } });
  const files = layoutFiles({ 'docker.io/library/app:1': one, latest: two });
  const index = JSON.parse(String(files[1]?.content));
  index.manifests[1].annotations = {
    'io.containerd.image.name': 'docker.io/library/app:2',
    'org.opencontainers.image.ref.name': '2',
  };
  const bundle = await tarOf(
    files.map(file =>
      file.name === 'index.json' ? { ...file, content: Buffer.from(JSON.stringify(index)) } : file,
    ),
  );
  expect((await importBundle(mirror.file, bundle)).code).toBe(0);
  expect(await digestOfTag(mirror.url, 'library/app', '2')).toBe(two.digest);
  const bytes = await mirror.metric('cistern_store_bytes');
  await mirror.close();
  const again = await startTestMirror({ config: { offline: true }, storePath: mirror.storePath });
  await again.settled();
  expect(await again.metric('cistern_store_bytes')).toBe(bytes);
});

test('the forms of the commands: what can not be meant ends with 2, and says what is wrong', async () => {
  const { file } = await startTestMirror({ config: { offline: true } });
  const bad = join(await tempDir(), 'have.txt');
  await writeFile(
    bad,
    `${one.digest}
sha256:short
`,
  );
  for (const [args, says] of [
    [['import'], 'name a file, or --from with a folder'],
    [['import', 'x.tar', '--from', '/tmp'], '--from and a file are two imports'],
    [['import', 'x.tar', '--into', 'old'], '--from-url and --into need --from a folder'],
    [['export', 'app:1'], "required option '-o, --output <file>' not specified"],
    [['export', 'APP', '-o', 'x.tar'], 'expected [HOST/]REPOSITORY[:TAG|@DIGEST]'],
    [['export', 'app:1', '-o', 'x.tar', '--platform', 'arm 64'], 'expected a platform such as linux/arm64'],
  ] as const) {
    const { code, stdout, stderr } = await runCistern(file, ...args);
    expect([args, code, stdout, stderr]).toEqual([args, 2, '', expect.stringContaining(says)]);
  }
  const store = await startTestMirror({ config: { offline: true } });
  await importBundle(store.file, await tarOf(layoutFiles({ 'docker.io/library/app:1': one })));
  const bundle = await bundlePath();
  const { code, stderr } = await exportImages(store.file, ['app:1'], bundle, { have: bad });
  expect([code, stderr]).toEqual([
    2,
    `error: ${bad}:2: expected a digest as cistern digests prints it
`,
  ]);
  const json = await exportImages(store.file, ['app:1'], bundle, { json: true });
  expect(JSON.parse(json.stdout)).toMatchObject({ images: ['app:1'], manifests: 1, blobs: 3, leftOut: 0 });
  expect((await filesOf(bundle)).has('manifest.json')).toBe(true);
  const missing = await importBundle(store.file, '/nonexistent/bundle.tar');
  expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining('ENOENT') });
});

test.each([
  ['digests', 0, ''],
  ['export app:1 --output -', 1, 'error: write EPIPE\n'],
])('a reader that goes away early ends %s without a stack', async (words, code, stderr) => {
  const { file } = await startTestMirror({ config: { offline: true } });
  await importBundle(file, await tarOf(layoutFiles({ 'docker.io/library/app:1': one })));
  const command = `"${process.execPath}" dist/main.js ${words} --config "${file}"`;
  const script = `${command} | (exec 0<&-; sleep 5); exit "\${PIPESTATUS[0]}"`;
  const ended = await runCommand(['bash', '-c', script]);
  expect(ended).toEqual({ code, stdout: '', stderr });
});
