/** `cistern warm` and its schedule: what is fetched ahead, within the pull limit, and from which lists. */
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { runCistern, runForJson } from '../support/cistern-command.ts';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { answer } from '../support/faults.ts';
import { type BuiltImage, buildImage, buildIndex } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { manifestLine } from '../support/request-log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { TestClock } from '../support/test-clock.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';

const hourMs = 3_600_000;
const amd64 = { os: 'linux', architecture: 'amd64' };
const arm64 = { os: 'linux', architecture: 'arm64' };

function multi(name: string): BuiltImage {
  const children = [amd64, arm64].map(platform => ({
    image: buildImage({ layers: [`${name} ${platform.architecture}`], platform }),
    platform,
  }));
  return buildIndex({ children });
}

const countedGets = ({ requests }: FakeUpstream) =>
  requests.filter(({ kind, method }) => kind === 'manifest' && method === 'GET').length;

async function pullOffline(url: string, name: string, image: BuiltImage): Promise<void> {
  expect((await get(url, `/v2/library/${name}/manifests/latest`)).sha256).toBe(image.digest);
  const [child] = image.children;
  if (child === undefined) throw new Error('expected a child');
  expect((await get(url, `/v2/library/${name}/manifests/${child.digest}`)).status).toBe(200);
  for (const { descriptor } of child.blobs)
    expect((await get(url, `/v2/library/${name}/blobs/${descriptor.digest}`)).status).toBe(200);
}

test('5 images on a limit of 10 manifests: it stops in time, says so, and goes on after the window', async () => {
  const upstream = await startFakeUpstream({ rateLimit: { limit: 10 } });
  const names = ['one', 'two', 'three', 'four', 'five'];
  const images = new Map(names.map(name => [name, multi(name)]));
  for (const [name, image] of images) upstream.put(`library/${name}`, image, 'latest');
  const clock = new TestClock();
  const mirror = await startTestMirror({ upstream, now: clock.now, timers: clock });

  const first = await runCistern(mirror.file, 'warm', ...names, '--platform', 'linux/amd64');
  expect(first).toMatchObject({ code: 0, stderr: '' });
  expect(countedGets(upstream)).toBe(9);
  expect(upstream.quota?.remaining).toBe(1);
  const until = new Date(clock.now() + 6 * hourMs).toISOString();
  expect(first.stdout.split('\n').slice(0, -1)).toEqual([
    ...names
      .slice(0, 4)
      .map(name => expect.stringMatching(`^docker\\.io/library/${name}:latest: fetched, \\S+ KiB$`)),
    expect.stringMatching(/^5 images: 4 fetched, 1 waiting; 8 manifests and \S+ KiB fetched$/),
    `docker.io: 1 of 10 pulls left, which stay for clients; goes on at ${until}`,
    'the daemon goes on by itself: cistern stats says how far it is',
  ]);
  const { stdout: stats } = await runCistern(mirror.file, 'stats');
  expect(stats).toMatch(/^command +\S+Z +4 of 5 +\S+ KiB +docker\.io: 1 of 10 pulls left/m);

  await clock.advance(5 * hourMs);
  expect(countedGets(upstream)).toBe(9); // nothing before the window has passed
  if (upstream.quota) upstream.quota.remaining = 10;
  await clock.advance(hourMs);
  await expect.poll(() => countedGets(upstream)).toBe(10);
  await expect.poll(() => mirror.log.some(({ msg }) => msg === 'images warmed')).toBe(true);
  await upstream.refuse();
  for (const [name, image] of images) await pullOffline(mirror.url, name, image);
});

test('a second run costs HEADs alone; a digest costs nothing; without a daemon it says why not', async () => {
  const upstream = await startFakeUpstream();
  const [image, index] = [buildImage({ layers: ['plain'] }), multi('app')];
  upstream.put('library/plain', image, 'latest');
  upstream.put('library/app', index, 'v1');
  const mirror = await startTestMirror({ upstream });
  const byDigest = `app@${index.digest}`;
  const words = ['plain', 'app:v1', byDigest, '--platform', 'all'];
  const report = await runForJson(mirror.file, 'warm', ...words);
  expect(report).toMatchObject({
    source: 'command',
    platforms: ['all'],
    fetchedManifests: 4,
    waiting: [],
    images: [
      { image: 'docker.io/library/plain:latest', result: 'fetched', digest: image.digest, reason: null },
      { image: 'docker.io/library/app:v1', result: 'fetched', digest: index.digest },
      { image: `docker.io/library/${byDigest}`, result: 'held', fetchedBytes: 0 },
    ],
  });
  upstream.log.clear();
  const again = await runForJson(mirror.file, 'warm', ...words);
  expect(again).toMatchObject({ fetchedManifests: 0, fetchedBytes: 0 });
  expect(upstream.lines().sort()).toEqual(
    [manifestLine('latest', 'HEAD'), manifestLine('v1', 'HEAD')].sort(),
  );
  const { pulledOnce } = await runForJson(mirror.file, 'report', '--since', '1h');
  expect(pulledOnce).toMatchObject({ images: 2 }); // no client has pulled them
  await mirror.close();
  const { code, stderr } = await runCistern(mirror.file, 'warm', 'plain');
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: 'error: warm needs a running daemon, and none runs\n',
  });
});

test('what can not be had is told image by image, and the others are warmed all the same', async () => {
  const upstream = await startFakeUpstream();
  const [image, other] = [buildImage({ layers: ['good'] }), multi('arm')];
  upstream.put('library/good', image, 'latest');
  upstream.put('library/other', other, 'latest');
  const broken = buildImage({ layers: ['broken'] });
  upstream.put('library/broken', broken, 'latest');
  const [layer] = broken.layers;
  upstream.fault({ digest: layer?.descriptor.digest ?? '' }, answer(404), { times: 'always' });
  upstream.put('library/huge', buildImage({ layers: [patternBlob('huge', 3_000_000)] }), 'latest');
  const config = { hosted: { repositories: ['team/**'] }, store: { max_size: '2MB', min_free: 0 } };
  const mirror = await startTestMirror({ upstream, config });
  const named = ['nosuch', 'broken', 'other', 'huge', 'good', 'team/app', 'ghcr.io/owner/app'];
  const { code, stdout, stderr } = await runCistern(
    mirror.file,
    'warm',
    ...named,
    '--platform',
    'linux/s390x',
  );
  expect(code).toBe(1);
  expect(stderr.split('\n').slice(0, -1)).toEqual([
    expect.stringContaining('error: docker.io/library/nosuch:latest: '),
    expect.stringContaining('error: docker.io/library/broken:latest: '),
    `error: docker.io/library/other:latest: docker.io/library/other@${other.digest} has no image for linux/s390x`,
    expect.stringMatching(
      /^error: docker\.io\/library\/huge:latest: sha256:\S+ was not kept: the store has no room for it$/,
    ),
  ]);
  expect(stdout).toContain('docker.io/library/good:latest: fetched, ');
  expect(stdout).toContain('team/app:latest: skipped, it is hosted here\n');
  expect(stdout).toContain('ghcr.io/owner/app:latest: skipped, ghcr.io is no upstream of this mirror\n');
  const { stderr: usage, code: usageCode } = await runCistern(mirror.file, 'warm', 'Good');
  expect({ usageCode, usage }).toMatchObject({
    usageCode: 2,
    usage: expect.stringContaining('error: expected'),
  });
});

test('images of files, Kubernetes manifests, a Compose file and a Docker host, each once', async () => {
  const upstream = await startFakeUpstream();
  for (const name of ['plain', 'pod', 'init', 'cron', 'web', 'local'])
    upstream.put(`library/${name}`, buildImage({ layers: [name] }), name === 'web' ? '2' : 'latest');
  const mirror = await startTestMirror({ upstream });
  const folder = await tempDir();
  const write = async (name: string, text: string) => {
    await writeFile(join(folder, name), text);
    return join(folder, name);
  };
  const list = await write('images.txt', '# a comment\nplain   # the first\n\n  pod\n');
  const pod = 'spec: { containers: [{ name: a, image: pod }], initContainers: [{ name: b, image: init }] }';
  const cron = 'spec: { jobTemplate: { spec: { template: { spec: { containers: [{ image: cron }] } } } } }';
  const manifests = await write(
    'all.yaml',
    `kind: List\nitems:\n  - { kind: Pod, ${pod} }\n---\nkind: CronJob\n${cron}\n`,
  );
  const compose = await write(
    'compose.yml',
    `services: { web: { image: "web:\${TAG:-2}" }, own: { build: . } }`,
  );
  const socket = join(folder, 'docker.sock');
  const listed = [
    { RepoTags: ['local:latest'], RepoDigests: [`local@sha256:${'a'.repeat(64)}`] },
    { RepoTags: ['built:latest'], RepoDigests: [] },
  ];
  const docker = createServer((_request, response) => response.end(JSON.stringify(listed)));
  await new Promise<void>(resolve => docker.listen(socket, resolve));
  onTestFinished(() => void docker.close());

  const sources = ['--file', list, '--kubernetes', manifests, '--compose', compose, '--from-docker', socket];
  const { code, stdout, stderr } = await runCistern(mirror.file, 'warm', ...sources);
  expect(stderr.split('\n').slice(0, -1)).toEqual([
    `${compose}: own is built and left out`,
    `1 of the images at ${socket} came from no registry and are left out`,
  ]);
  const done = ['plain:latest', 'pod:latest', 'init:latest', 'cron:latest', 'web:2', 'local:latest'];
  expect(stdout.split('\n').slice(0, -2)).toEqual(
    done.map(name => expect.stringContaining(`docker.io/library/${name}: fetched, `)),
  );
  expect(code).toBe(0);
});
