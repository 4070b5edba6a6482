/** SIGHUP: what can change while the mirror runs does, without a restart; what can't is named; nothing ends the process. */

import { readFile, writeFile } from 'node:fs/promises';
import { hash } from 'bcrypt';
import { expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { runCistern, runForJson } from '../support/cistern-command.ts';
import { get } from '../support/client.ts';
import { buildImage } from '../support/images.ts';
import { spawnTestMirror } from '../support/mirror.ts';
import { tempDir } from '../support/temp-dir.ts';
import { send } from '../support/upload-client.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const path = '/v2/library/alpine/manifests/latest';

function basic(name: string, password: string) {
  return { headers: { Authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` } };
}

test('SIGHUP takes rules, users, limits, and an upstream password over, and names what needs a restart', async () => {
  const upstream = await startFakeUpstream();
  upstream.put('library/alpine', buildImage(), 'latest');
  const folder = await tempDir();
  await writeFile(`${folder}/password`, 'old\n');
  await writeFile(`${folder}/users`, `alice:${await hash('a', 4)}\n`);
  const hub = { username: 'robot', password_file: `${folder}/password` };
  const mirror = await spawnTestMirror({ upstream, hub });
  expect((await get(mirror.url, path)).status).toBe(200);

  const config = parse(await readFile(mirror.file, 'utf8'));
  const rules = [{ repositories: ['**'], users: ['alice'] }];
  config.access = { htpasswd: `${folder}/users`, rules };
  config.store.max_size = '7MiB';
  config.tags = { ttl: '5m' };
  await writeFile(mirror.file, stringify(config));
  await writeFile(`${folder}/password`, 'new\n');
  mirror.process.signal('SIGHUP');
  const reloaded = await mirror.process.waitForMessage('configuration reloaded');
  expect(reloaded['changed']).toEqual([
    'store.max_size',
    'access.htpasswd',
    'access.rules',
    'upstreams.docker.io.password',
  ]);
  const left = await mirror.process.waitForMessage('changed settings need a restart');
  expect(left['settings']).toEqual(['tags']);
  expect((await get(mirror.url, path)).status).toBe(401);
  expect((await get(mirror.url, path, basic('alice', 'a'))).status).toBe(200);
  expect((await get(mirror.url, path, basic('alice', 'b'))).status).toBe(401);
  const { stdout } = await runCistern(mirror.file, 'stats', '--json'); // it warns of the password over plain HTTP
  const { store } = JSON.parse(stdout);
  expect(store).toMatchObject({ limitBytes: 7 * 1024 * 1024 });

  await writeFile(mirror.file, 'htp: {}\n');
  mirror.process.signal('SIGHUP');
  await mirror.process.waitForMessage('configuration not reloaded, the running one stays');
  expect((await get(mirror.url, '/healthz')).status).toBe(200);
  expect((await get(mirror.url, path, basic('alice', 'a'))).status).toBe(200);
});

test('SIGHUP takes hosted.read_only over, in both directions', async () => {
  const mirror = await spawnTestMirror({ config: { upstreams: {}, hosted: { repositories: ['team/**'] } } });
  const statusOfPush = async () => (await send(mirror.url, 'POST', '/v2/team/app/blobs/uploads/')).status;
  expect(await statusOfPush()).toBe(202);
  const config = parse(await readFile(mirror.file, 'utf8'));
  for (const [message, status] of [
    ['moving', 503],
    [false, 202],
  ] as const) {
    config.hosted.read_only = message;
    await writeFile(mirror.file, stringify(config));
    mirror.process.signal('SIGHUP');
    await expect.poll(statusOfPush).toBe(status);
  }
});

test('stats --clients says who pulled what and what it cost, stats --next what goes next', async () => {
  const upstream = await startFakeUpstream();
  const image = buildImage();
  upstream.put('library/alpine', image, 'latest');
  const mirror = await spawnTestMirror({ upstream });
  for (let n = 0; n < 3; n += 1) await get(mirror.url, path, { headers: { 'X-Request-Id': `pull-${n}` } });
  expect(upstream.log.entries.map(({ headers }) => headers['x-request-id'])).toEqual(['pull-0']);
  await get(mirror.url, path, { from: '127.0.0.2' });
  const layer = image.layers[0]?.descriptor;
  const blob = `/v2/library/alpine/blobs/${layer?.digest}`;
  expect((await get(mirror.url, blob, { from: '127.0.0.2' })).status).toBe(200);
  const { daemon } = await runForJson(mirror.file, 'stats', '--clients', '--next');
  expect(daemon).toMatchObject({
    clients: [
      { address: '127.0.0.1', hour: { pulls: 3, upstreamCounted: 1 }, day: { pulls: 3, upstreamCounted: 1 } },
      { address: '127.0.0.2', hour: { pulls: 1, upstreamCounted: 0 }, day: { pulls: 1, upstreamCounted: 0 } },
    ],
    next: [{ digest: layer?.digest, bytes: layer?.size, lastUsedAt: expect.any(String) }],
  });
  const { daemon: plain } = await runForJson(mirror.file, 'stats');
  expect(plain).not.toHaveProperty('clients');
  const { body } = await get(mirror.url, '/api/v1/stats?clients=1');
  expect(body.toString()).not.toContain('"clients"');
});
