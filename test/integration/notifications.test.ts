/** Webhooks and the audit log of a running mirror: what is told, to whom, and that a kill or a reload loses nothing. */
import { readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hash } from 'bcrypt';
import { expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { runCistern, runForJson } from '../support/cistern-command.ts';
import { get, head } from '../support/client.ts';
import { buildImage } from '../support/images.ts';
import { askToken, postToken } from '../support/login-rig.ts';
import { spawnTestMirror, startTestMirror } from '../support/mirror.ts';
import { tempDir } from '../support/temp-dir.ts';
import { pushBlob, send } from '../support/upload-client.ts';
import { startFakeUpstream } from '../support/upstream.ts';
import { WebhookReceiver } from '../support/webhook-receiver.ts';

const path = '/v2/library/alpine/manifests/latest';

function basic(name: string, password: string) {
  return { headers: { Authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` } };
}

async function startUpstream() {
  const upstream = await startFakeUpstream();
  const image = buildImage();
  upstream.put('library/alpine', image, 'latest');
  return { upstream, image };
}

/** An entry of `notifications` for that receiver. */
async function entryFor(receiver: WebhookReceiver, keys: object = {}) {
  const file = join(await tempDir(), 'secret');
  await writeFile(file, `${receiver.secret}\n`);
  return { name: 'ci', url: receiver.url.href, secret_file: file, ...keys };
}

async function readLines(file: string): Promise<Record<string, unknown>[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line));
}

test('a pull is told once per image and client, hot or cold; HEAD, 304 and blobs are not', async () => {
  const receiver = await WebhookReceiver.start();
  const { upstream, image } = await startUpstream();
  const mirror = await startTestMirror({ upstream, config: { notifications: [await entryFor(receiver)] } });
  expect((await head(mirror.url, path)).status).toBe(200);
  const { headers } = await get(mirror.url, path, {
    headers: { 'X-Request-Id': 'first', 'User-Agent': 'docker/27' },
  });
  const etag = headers.get('etag') ?? '';
  expect((await get(mirror.url, path, { headers: { 'If-None-Match': etag } })).status).toBe(304);
  await get(mirror.url, path); // from memory
  await get(mirror.url, path, { from: '127.0.0.2' });
  const [layer] = image.layers;
  await get(mirror.url, `/v2/library/alpine/blobs/${layer?.descriptor.digest}`);
  await receiver.untilTaken(2);
  const { descriptor } = image.manifests[0] ?? {};
  const host = new URL(mirror.url).host;
  expect(receiver.taken.map(({ request: asked }) => asked)).toMatchObject([
    { id: 'first', addr: '127.0.0.1', method: 'GET', useragent: 'docker/27', host },
    { addr: '127.0.0.2' },
  ]);
  expect(receiver.taken[0]).toMatchObject({
    action: 'pull',
    target: {
      mediaType: descriptor?.mediaType,
      digest: descriptor?.digest,
      size: descriptor?.size,
      repository: 'docker.io/library/alpine',
      tag: 'latest',
      url: `http://${host}/v2/docker.io/library/alpine/manifests/${descriptor?.digest}`,
    },
    actor: {},
  });
  expect(receiver.wrongSignatures).toBe(0);
  expect(receiver.headers[0]).toMatchObject({
    'content-type': 'application/vnd.docker.distribution.events.v1+json',
    'x-cistern-signature': expect.stringMatching(/^sha256=[0-9a-f]{64}$/),
  });
  await expect
    .poll(() => mirror.metric('cistern_notifications_total{target="ci",result="delivered"}'))
    .toBe(2);
  expect(await mirror.metric('cistern_notifications_total{target="ci",result="failed"}')).toBe(0);
  await mirror.close();
  expect(receiver.requests).toHaveLength(2);
});

test('a target that is away delays no pull; after kill -9 and a restart it gets what it missed', async () => {
  const receiver = await WebhookReceiver.start();
  receiver.answer = 'silence';
  const { upstream } = await startUpstream();
  for (const tag of ['1', '2', '3'])
    upstream.put('library/alpine', buildImage({ layers: [`alpine ${tag}`] }), tag);
  const notifications = [await entryFor(receiver)];
  const first = await spawnTestMirror({ upstream, config: { notifications } });
  for (const tag of ['1', '2', '3'])
    expect((await get(first.url, path.replace('latest', tag))).status).toBe(200);
  await receiver.untilRequests(1);
  const spool = join(first.storePath, 'spool-v1', 'ci');
  const written = async () => {
    const names = (await readdir(spool)).filter(name => name.endsWith('.log'));
    return (await Promise.all(names.map(name => readFile(join(spool, name), 'utf8')))).join('').split('\n')
      .length;
  };
  await expect.poll(written).toBe(4);
  first.process.signal('SIGKILL');
  await first.process.exited;
  receiver.answer = 200;
  const second = await spawnTestMirror({ upstream, storePath: first.storePath, config: { notifications } });
  await receiver.untilTaken(3);
  expect(receiver.tags).toEqual(['1', '2', '3']);
  expect(receiver.wrongSignatures).toBe(0);
  await expect
    .poll(() => second.metric('cistern_notifications_total{target="ci",result="delivered"}'))
    .toBe(3);

  expect(await runForJson(second.file, 'notifications', 'replay', 'ci')).toEqual({ target: 'ci', events: 3 });
  await receiver.untilTaken(6);
  expect(receiver.tags.slice(3)).toEqual(['1', '2', '3']);
  const unknown = await runCistern(second.file, 'notifications', 'replay', 'nosuch');
  expect(unknown).toMatchObject({
    code: 1,
    stderr: 'error: no entry of notifications has the name "nosuch"\n',
  });
  second.process.signal('SIGTERM');
  await second.process.exited;
  const { code, stderr } = await runCistern(second.file, 'notifications', 'replay', 'ci');
  expect({ code, stderr }).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('needs a running daemon'),
  });
});

test('the audit log has failed logins, denials and commands, and a file that logrotate moved is opened anew', async () => {
  const { upstream } = await startUpstream();
  const folder = await tempDir();
  const file = join(folder, 'audit.log');
  await writeFile(`${folder}/users`, `alice:${await hash('a', 4)}\n`);
  const rules = [{ repositories: ['docker.io/library/**'], users: ['anonymous'] }];
  const mirror = await spawnTestMirror({
    upstream,
    config: { access: { htpasswd: `${folder}/users`, rules }, log: { level: 'info', audit: file } },
  });
  expect((await get(mirror.url, path)).status).toBe(200); // a pull is no matter of it
  expect((await get(mirror.url, path, basic('alice', 'wrong'))).status).toBe(401);
  const form = { grant_type: 'password', username: 'alice', password: 'wrong too' };
  expect((await postToken(mirror.url, form)).status).toBe(401);
  expect((await get(mirror.url, '/token', basic('planted-password', 'x'))).status).toBe(401);
  const closed = '/v2/team/app/manifests/v1';
  expect((await get(mirror.url, closed)).status).toBe(401); // a challenge is no refusal yet
  const anonymous = await askToken(mirror.url, undefined, { scopes: ['repository:team/app:pull'] });
  const denied = (authorization: string, id: string) =>
    get(mirror.url, closed, { headers: { Authorization: authorization, 'X-Request-Id': id } });
  expect((await denied(`Bearer ${anonymous.token}`, 'anonymous')).status).toBe(401);
  expect((await denied(basic('alice', 'a').headers.Authorization, 'denied')).status).toBe(403);
  await runForJson(mirror.file, 'pin', 'alpine');
  expect((await runCistern(mirror.file, 'evict', 'nosuch')).code).toBe(1);
  await runForJson(mirror.file, 'stats');
  const here = { user: null, address: null, repository: null, digest: null, requestId: expect.any(String) };
  await expect.poll(() => readLines(file)).toHaveLength(7);
  const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/);
  const pull = {
    time,
    action: 'pull',
    address: '127.0.0.1',
    repository: 'docker.io/team/app',
    reference: 'v1',
    digest: null,
  };
  const login = { ...here, time, action: 'login', address: '127.0.0.1', reference: null };
  expect(await readLines(file)).toEqual([
    { ...login, user: 'alice', result: 'UNAUTHORIZED' },
    { ...login, user: 'alice', result: 'UNAUTHORIZED' },
    { ...login, user: null, result: 'UNAUTHORIZED' },
    { ...pull, user: null, requestId: 'anonymous', result: 'UNAUTHORIZED' },
    { ...pull, user: 'alice', requestId: 'denied', result: 'DENIED' },
    { ...here, time, action: 'pin', reference: 'alpine', result: 'ok' },
    { ...here, time, action: 'evict', reference: 'nosuch', result: 'MANIFEST_UNKNOWN' },
  ]);
  expect((await stat(file)).mode & 0o777).toBe(0o640);

  await rename(file, `${file}.1`);
  mirror.process.signal('SIGHUP');
  await mirror.process.waitForMessage('configuration reloaded');
  await runForJson(mirror.file, 'unpin', 'alpine');
  await expect.poll(() => readLines(file)).toMatchObject([{ action: 'unpin' }]);
  expect(await readLines(`${file}.1`)).toHaveLength(7);
});

test('pushes, tag moves, mounts and deletes are told and audited when they are durable; refused ones are denials', async () => {
  const receiver = await WebhookReceiver.start();
  const { upstream } = await startUpstream();
  const file = join(await tempDir(), 'audit.log');
  const rules = [
    { repositories: ['team/locked'], users: ['anonymous'], actions: ['pull'] },
    { repositories: ['**'], users: ['anonymous'], actions: ['pull', 'push', 'delete'] },
  ];
  const mirror = await startTestMirror({
    upstream,
    config: {
      hosted: { repositories: ['team/**'] },
      access: { rules },
      notifications: [await entryFor(receiver, { events: ['push', 'delete'], repositories: ['team/**'] })],
      log: { audit: file },
    },
  });
  const [image, next] = [buildImage({ layers: ['one'] }), buildImage({ layers: ['two'] })];
  const blobs = [...image.blobs, ...next.blobs].map(({ content, descriptor }) => ({
    content,
    ...descriptor,
  }));
  const distinct = [...new Map(blobs.map(blob => [blob.digest, blob])).values()];
  for (const { content } of distinct) expect(await pushBlob(mirror.url, 'team/app', content)).toBe(201);
  const put = ({ bytes, descriptor }: typeof image, reference: string, name = 'team/app') =>
    send(mirror.url, 'PUT', `/v2/${name}/manifests/${reference}`, {
      body: bytes,
      headers: { 'Content-Type': descriptor.mediaType },
    });
  expect((await put(image, 'v1')).status).toBe(201);
  expect((await put(next, 'v1')).status).toBe(201);
  const layer = image.layers[0]?.descriptor.digest;
  const mount = `/v2/team/other/blobs/uploads/?mount=${layer}&from=team/app`;
  expect((await send(mirror.url, 'POST', mount)).status).toBe(201);
  expect((await put(image, 'v1', 'team/locked')).status).toBe(403);
  expect((await put(image, 'v9', 'team/other')).status).toBe(400); // blobs are missing: nothing happened
  expect((await send(mirror.url, 'DELETE', '/v2/team/app/manifests/v1')).status).toBe(202);
  expect((await send(mirror.url, 'DELETE', `/v2/team/app/manifests/${image.digest}`)).status).toBe(202);
  expect((await send(mirror.url, 'DELETE', `/v2/team/other/blobs/${layer}`)).status).toBe(202);
  const pushes = distinct.map(({ digest }) => ['push', 'team/app', digest, undefined]);
  const expected = [
    ...pushes,
    ['push', 'team/app', image.digest, 'v1'],
    ['push', 'team/app', next.digest, 'v1'],
    ['mount', 'team/other', layer, undefined],
    ['delete', 'team/app', undefined, 'v1'],
    ['delete', 'team/app', image.digest, undefined],
    ['delete', 'team/other', layer, undefined],
  ];
  await receiver.untilTaken(expected.length);
  expect(
    receiver.taken.map(({ action, target: { repository, digest, tag } }) => [
      action,
      repository,
      digest,
      tag,
    ]),
  ).toEqual(expected);
  expect(receiver.taken.find(({ action }) => action === 'mount')?.target).toMatchObject({
    fromRepository: 'team/app',
  });
  expect(receiver.wrongSignatures).toBe(0);
  await mirror.close();
  const lines = await readLines(file);
  expect(
    lines.map(({ action, repository, reference, digest, result }) => [
      action,
      repository,
      reference,
      digest,
      result,
    ]),
  ).toEqual([
    ...distinct.map(({ digest }) => ['push', 'team/app', null, digest, 'ok']),
    ['push', 'team/app', 'v1', image.digest, 'ok'],
    ['tag', 'team/app', 'v1', image.digest, 'ok'],
    ['push', 'team/app', 'v1', next.digest, 'ok'],
    ['tag', 'team/app', 'v1', next.digest, 'ok'],
    ['mount', 'team/other', null, layer, 'ok'],
    ['push', 'team/locked', 'v1', null, 'DENIED'],
    ['delete', 'team/app', 'v1', null, 'ok'],
    ['delete', 'team/app', null, image.digest, 'ok'],
    ['delete', 'team/other', null, layer, 'ok'],
  ]);
});

test('SIGHUP takes targets and the audit log over; stdout gets audit lines between those of the log', async () => {
  const [one, two] = [await WebhookReceiver.start(), await WebhookReceiver.start()];
  const { upstream } = await startUpstream();
  const mirror = await spawnTestMirror({ upstream });
  await get(mirror.url, path);
  const config = parse(await readFile(mirror.file, 'utf8'));
  let reloads = 0;
  const reload = async (changed: string[]) => {
    await writeFile(mirror.file, stringify(config));
    mirror.process.signal('SIGHUP');
    reloads += 1;
    const seen = () => mirror.process.lines.filter(line => line.includes('configuration reloaded'));
    await expect.poll(() => seen().length).toBe(reloads);
    expect(JSON.parse(seen().at(-1) ?? '{}')).toMatchObject({ changed });
  };
  config.notifications = [await entryFor(one)];
  config.log.audit = 'stdout';
  await reload(['log.audit', 'notifications']);
  await get(mirror.url, path, { from: '127.0.0.3' });
  await one.untilTaken(1);
  config.notifications = [await entryFor(two)];
  await reload(['notifications']);
  await get(mirror.url, path, { from: '127.0.0.4' });
  await two.untilTaken(1);
  expect(two.taken[0]).toMatchObject({ request: { addr: '127.0.0.4' } });
  expect(two.wrongSignatures).toBe(0);
  config.notifications = [];
  await reload(['notifications']);
  await get(mirror.url, path, { from: '127.0.0.5' });
  await runForJson(mirror.file, 'pin', 'alpine');
  await expect
    .poll(() => mirror.process.lines.filter(line => line.includes('"action":"pin"')))
    .toHaveLength(1);
  expect([one.taken.length, two.taken.length]).toEqual([1, 1]);
});
