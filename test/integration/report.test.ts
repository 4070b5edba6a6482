/** `cistern report`: the figures of days of pulls are those of a counting upstream and of the clients, over restarts and `kill -9`. */
import { expect, test } from 'vitest';
import { runCistern, runForJson } from '../support/cistern-command.ts';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { type BuiltImage, buildImage, buildIndex } from '../support/images.ts';
import { spawnTestMirror, startTestMirror } from '../support/mirror.ts';
import { TestClock } from '../support/test-clock.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';
import { isOnDisk } from './commands-rig.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** What its clients got. */
class Clients {
  pulls = 0;
  requests = 0;
  servedBytes = 0;

  async get(url: string, path: string): Promise<number> {
    const { status, body } = await get(url, path);
    if (status !== 200) return status;
    this.requests += 1;
    if (path.includes('/manifests/')) this.pulls += 1;
    else this.servedBytes += body.length;
    return status;
  }

  async pull(url: string, name: string, image: BuiltImage): Promise<void> {
    await this.get(url, `/v2/library/${name}/manifests/latest`);
    const [child = image] = image.children;
    if (child !== image) await this.get(url, `/v2/library/${name}/manifests/${child.digest}`);
    for (const { descriptor } of child.blobs)
      await this.get(url, `/v2/library/${name}/blobs/${descriptor.digest}`);
  }
}

function countedBy({ requests }: FakeUpstream): number {
  return requests.filter(
    ({ kind, method, status }) => kind === 'manifest' && method === 'GET' && status === 200,
  ).length;
}

function fetchedFrom(upstream: FakeUpstream): number {
  return upstream.contentBytes('blob');
}

test('three days of pulls: figures equal the counts, names are named, and a restart changes nothing', async () => {
  const upstream = await startFakeUpstream();
  const [twice, once] = [buildImage({ layers: ['twice'] }), buildIndex()];
  const [early, late] = ['early', 'late'].map(name => buildImage({ layers: [patternBlob(name, 600_000)] }));
  if (early === undefined || late === undefined) throw new Error('expected two images');
  for (const [name, image] of Object.entries({ twice, once, early, late }))
    upstream.put(`library/${name}`, image, 'latest');
  const firstDayMs = dayMs * (Math.floor(Date.now() / dayMs) - 3); // what has no daemon takes the real clock
  const clock = new TestClock(firstDayMs + 8.5 * hourMs);
  const iso = (ms: number) => new Date(firstDayMs + ms).toISOString();
  const options = {
    upstream,
    now: clock.now,
    config: { store: { max_size: '1100KB', min_free: 0 }, tags: { ttl: '30d' } },
  };
  const mirror = await startTestMirror(options);
  await mirror.settled();
  const clients = new Clients();
  await clients.pull(mirror.url, 'twice', twice);
  await clients.pull(mirror.url, 'once', once);
  await get(mirror.url, '/v2/library/twice/manifests/latest', { method: 'HEAD' });
  await runForJson(mirror.file, 'report'); // a reading
  await clock.advance(dayMs);
  await clients.pull(mirror.url, 'twice', twice);
  await clients.pull(mirror.url, 'early', early);
  const [layer] = early.layers;
  await expect.poll(() => isOnDisk(mirror.storePath, layer?.descriptor.digest ?? '')).toBe(true);
  await runForJson(mirror.file, 'report');
  await clock.advance(dayMs);
  await clients.pull(mirror.url, 'late', late); // evicts what is coldest
  await expect.poll(() => isOnDisk(mirror.storePath, layer?.descriptor.digest ?? '')).toBe(false);
  await clients.get(mirror.url, `/v2/library/early/blobs/${layer?.descriptor.digest}`);
  await upstream.refuse();
  expect(await clients.get(mirror.url, '/v2/library/nowhere/manifests/v1')).toBe(503);

  const counted = countedBy(upstream);
  const fetchedBytes = fetchedFrom(upstream);
  const since = ['report', '--since', iso(-20 * dayMs), '--price', '1000'];
  const report = await runForJson(mirror.file, ...since);
  const { pulls, requests, servedBytes } = clients;
  const docker = { upstream: 'docker.io', pulls, counted, requests, servedBytes, fetchedBytes };
  expect(report).toMatchObject({
    since: iso(-20 * dayMs),
    upstreams: [
      {
        ...docker,
        savedBytes: servedBytes - fetchedBytes,
        evictedTooEarly: 1,
        evictedTooEarlyBytes: 600_000,
      },
    ],
    days: [0, 1, 2].map(day => ({ at: iso(day * dayMs) })),
    pulledOnce: {
      images: 3,
      listed: [
        {
          repository: 'docker.io/library/late',
          tags: ['latest'],
          digest: late.digest,
          fetchedAt: iso(2 * dayMs + 8.5 * hourMs),
        },
        { repository: 'docker.io/library/early', digest: early.digest },
        { repository: 'docker.io/library/once', tags: ['latest'], digest: once.digest },
      ],
    },
    failedOffline: [{ repository: 'docker.io/library/nowhere', reference: 'v1', times: 1 }],
  });
  expect(report['hours']).toMatchObject([0, 1, 2].map(day => ({ at: iso(day * dayMs + 8 * hourMs) })));
  const { stdout } = await runCistern(mirror.file, ...since);
  expect(stdout).toMatch(/^docker\.io +\d+ +\d+ +/m);
  expect(stdout).toContain('evicted too early: 1 blob (586 KiB) were needed again within a week');
  expect(stdout).toContain(
    'never pulled again: 3 of the images that were fetched\n  docker.io/library/late:latest\n',
  );
  expect(stdout).toContain(
    'failed while the upstream was away:\n  docker.io/library/nowhere:v1  1 request\n',
  );

  await mirror.close();
  const stopped = await runForJson(mirror.file, ...since); // no daemon: from the file
  const again = await startTestMirror({ ...options, storePath: mirror.storePath });
  const restarted = await runForJson(again.file, ...since);
  expect({ ...restarted, until: '' }).toEqual({ ...report, until: '' });
  expect({ ...stopped, until: '', hours: [] }).toEqual({ ...report, until: '', hours: [] });
  await clients.pull(again.url, 'twice', twice);
  const grown = await runForJson(again.file, ...since);
  expect(grown['upstreams']).toMatchObject([
    { pulls: clients.pulls, counted, servedBytes: clients.servedBytes },
  ]);
});

test('kill -9 keeps what was read', async () => {
  const upstream = await startFakeUpstream();
  const image = buildImage();
  upstream.put('library/app', image, 'latest');
  const mirror = await spawnTestMirror({ upstream });
  const clients = new Clients();
  await clients.pull(mirror.url, 'app', image);
  await clients.pull(mirror.url, 'app', image);
  const before = await runForJson(mirror.file, 'report', '--since', '12h');
  expect(before['upstreams']).toMatchObject([
    {
      upstream: 'docker.io',
      pulls: 2,
      counted: 1,
      servedBytes: clients.servedBytes,
      fetchedBytes: fetchedFrom(upstream),
    },
  ]);
  await mirror.process.stop('SIGKILL');
  const after = await runForJson(mirror.file, 'report', '--since', '12h');
  expect(after['upstreams']).toEqual(before['upstreams']);
  expect(after['pulledOnce']).toEqual({ images: 0, listed: [] });
});

test('what is no time and no price is refused', async () => {
  const mirror = await startTestMirror();
  for (const words of [
    ['--since', 'never'],
    ['--price', 'cheap'],
  ]) {
    const { code, stderr } = await runCistern(mirror.file, 'report', ...words);
    expect({ code, stderr }).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`error: expected ${words[0]}`),
    });
  }
  const { stdout } = await runCistern(mirror.file, 'report');
  expect(stdout).toMatch(/^nothing was pulled from upstreams since \S+Z\n$/);
});
