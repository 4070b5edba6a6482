/** deploy/nginx-accel.conf as it is, but for ports, names and folders: nginx sends held blobs from the store by itself. */
import { chmod, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import bcrypt from 'bcrypt';
import { expect, test } from 'vitest';
import { type CallResult, get, head, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { type Front, startNginx } from '../support/real/front-server.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';

const size = 20_000_000;
const blob = patternBlob('nginx sends it', size);
const hex = blob.digest.slice('sha256:'.length);
const inStore = `sha256/${hex.slice(0, 2)}/${hex}`;
const repository = '/v2/library/alpine';
const path = `${repository}/blobs/${blob.digest}`;
const ranges = [
  ['bytes=0-', 0, size],
  ['bytes=1000-1999', 1000, 2000],
  ['bytes=-5', size - 5, size],
] as const;

async function start(options: Parameters<typeof startNginx>[0] = {}): Promise<Front> {
  const http = { trusted_proxies: ['127.0.0.1'], accel: {} };
  const config = { ...options.config, http };
  const front = await startNginx({ file: 'nginx-accel.conf', ...options, config });
  front.upstream.putBlob('library/alpine', blob.digest, blob);
  return front;
}

/** With the blob held, without a request of nginx for it. */
async function startWithBlob(options: Parameters<typeof startNginx>[0] = {}): Promise<Front> {
  const front = await start(options);
  // From another address: a client that asks again at once gets the bytes from Cistern, while the file is checked.
  const first = await get(front.mirror.url, path, { from: '127.0.0.5' });
  expect(first).toMatchObject({ status: 200, sha256: blob.digest });
  await expect.poll(() => front.mirror.metric('cistern_store_blobs')).toBe(1);
  return front;
}

function lines({ mirror }: Front) {
  return mirror.log
    .filter(line => line['path'] === path && line['client'] === '127.0.0.1')
    .map(({ status, bytes, sentBy }) => ({ status, bytes, sentBy }));
}

async function expectLines(front: Front, ...expected: readonly object[]): Promise<void> {
  await expect.poll(() => lines(front)).toEqual(expected);
}

const direct = { status: 200, bytes: size, sentBy: undefined };
const byNginx = { status: 200, bytes: size, sentBy: 'proxy' };

function namesOf({ headers }: CallResult) {
  const kept = ['content-type', 'content-length', 'content-range', 'etag', 'last-modified'];
  const ours = ['docker-content-digest', 'docker-distribution-api-version', 'oci-namespace'];
  return Object.fromEntries([...kept, ...ours, 'x-accel-redirect'].map(name => [name, headers.get(name)]));
}

requires('nginx', 'openssl')('deploy/nginx-accel.conf', () => {
  test('a held blob has the same bytes and headers as without nginx, and counts as sent', async () => {
    const front = await startWithBlob();
    const { url, ca, mirror } = front;
    const what = `${path}?ns=docker.io`;
    const through = await get(url, what, { ca });
    expect(through).toMatchObject({ status: 200, sha256: blob.digest, end: 'complete' });
    const itself = await get(mirror.url, what, { from: '127.0.0.4' });
    expect(namesOf(through)).toEqual(namesOf(itself));
    expect(namesOf(through)['etag']).toBe(`"${blob.digest}"`);
    expect(through.headers.get('x-request-id')).toMatch(/^[\w-]{36}$/);
    const sent = 'cistern_served_bytes_total{upstream="docker.io",kind="blob",outcome="hit"}';
    expect(await mirror.metric(sent)).toBe(2 * size);
    const line = mirror.log.find(({ sentBy }) => sentBy === 'proxy');
    expect(line).toMatchObject({ status: 200, bytes: size, outcome: 'hit', client: '127.0.0.1' });
  });

  test('ranges and conditions are answered as without nginx', async () => {
    const { url, ca, mirror } = await startWithBlob();
    const bytes = blob.slice(0, size);
    const asked = [
      ...ranges.map(([range]) => ({ Range: range })),
      { Range: 'bytes=5-9', 'If-Range': `"${blob.digest}"` },
      { Range: 'bytes=5-9', 'If-Range': '"other"' },
      { Range: 'bytes=5-9', 'If-Range': new Date().toUTCString() },
      { Range: `bytes=${size}-` },
      { 'If-None-Match': `"${blob.digest}"` },
      { 'If-Modified-Since': new Date().toUTCString() },
      { 'If-Match': '"other"' },
    ];
    for (const headers of asked) {
      const through = await get(url, path, { ca, headers });
      const itself = await get(mirror.url, path, { headers, from: '127.0.0.4' });
      const { status, sha256 } = itself;
      expect(through, JSON.stringify(headers)).toMatchObject({ status, sha256, end: 'complete' });
      expect(namesOf(through), JSON.stringify(headers)).toEqual(namesOf(itself));
    }
    for (const [range, from, to] of ranges) {
      const { body } = await get(url, path, { ca, headers: { Range: range } });
      expect(body.equals(bytes.subarray(from, to))).toBe(true);
    }
    const several = await get(url, path, { ca, headers: { Range: 'bytes=0-1,5-6' } });
    expect(several.headers.get('content-type')).toMatch(/^multipart\/byteranges/);
    const heads = [await head(url, path, { ca }), await head(mirror.url, path)];
    expect(heads.map(namesOf)[0]).toEqual(heads.map(namesOf)[1]);
    expect(mirror.log.some(({ status, sentBy }) => status === 206 && sentBy === 'proxy')).toBe(true);
  });

  test('a client can neither reach a file by itself nor say what nginx does', async () => {
    const front = await startWithBlob();
    const { url, ca } = front;
    expect((await get(url, `/_blobs/${inStore}`, { ca })).status).toBe(404);
    const headers = { 'X-Accel-Redirect': `/_blobs/${inStore}`, 'X-Forwarded-For': '6.6.6.6' };
    expect((await get(url, '/v2/', { ca, headers })).body.toString()).toBe('{}');
    expect(await get(url, path, { ca, headers })).toMatchObject({ status: 200, sha256: blob.digest });
    await expectLines(front, byNginx);
  });

  test('what a client may not have is 401 or 404, whether or not it is held', async () => {
    const users = join(await tempDir(), 'htpasswd');
    await writeFile(users, `ann:${bcrypt.hashSync('pull', 4)}\n`);
    const rules = [
      { repositories: ['docker.io/library/alpine'], users: ['ann', 'anonymous'], actions: ['pull'] },
      { repositories: ['docker.io/library/*'], users: ['ann'], actions: ['pull'] },
    ];
    const front = await start({
      upstream: { auth: { kind: 'basic', accounts: { u: { password: 'p' } } } },
      hub: { username: 'u', password: 'p' },
      config: { access: { htpasswd: users, rules } },
    });
    const { url, ca, mirror } = front;
    const headers = { Authorization: `Basic ${Buffer.from('ann:pull').toString('base64')}` };
    expect((await get(mirror.url, path, { headers, from: '127.0.0.5' })).sha256).toBe(blob.digest);
    await expect.poll(() => mirror.metric('cistern_store_blobs')).toBe(1);
    expect((await get(url, path, { ca })).status).toBe(404); // private at its upstream
    expect([401, 403]).toContain((await get(url, path.replace('alpine', 'other'), { ca })).status);
    expect((await get(url, `/_blobs/${inStore}`, { ca })).status).toBe(404);
    expect(await get(url, path, { ca, headers })).toMatchObject({ status: 200, sha256: blob.digest });
    expect(mirror.log.filter(({ sentBy }) => sentBy === 'proxy')).toMatchObject([{ user: 'ann' }]);
  });

  test('a client follows a download that runs, and Cistern sends to it', async () => {
    const front = await start();
    const { url, ca, upstream } = front;
    const gate = upstream.holdAfter({ digest: blob.digest }, 1_000_000);
    const calls = [request(url, { path, ca }), request(url, { path, ca })];
    await Promise.all(calls.map(call => call.atLeast(900_000)));
    gate.release();
    for (const call of calls) expect(await call.done).toMatchObject({ status: 200, sha256: blob.digest });
    expect(upstream.lines()).toHaveLength(1);
    await expectLines(front, direct, direct);
  });

  test('a file that is not there for nginx is sent by Cistern, which is asked once more and no third time', async () => {
    const elsewhere = await tempDir();
    await chmod(elsewhere, 0o755);
    const front = await startWithBlob({ blobs: `${elsewhere}/` });
    const { url, ca, upstream } = front;
    const asked = upstream.lines().length;
    expect(await get(url, path, { ca })).toMatchObject({ status: 200, sha256: blob.digest });
    await expectLines(front, byNginx, direct);
    expect(upstream.lines()).toHaveLength(asked);
  });

  test('a file that nginx may not read is sent by Cistern', async () => {
    const front = await startWithBlob();
    await chmod(join(front.mirror.storePath, 'blobs-v1', inStore), 0o600);
    expect(await get(front.url, path, { ca: front.ca })).toMatchObject({ status: 200, sha256: blob.digest });
    expect(lines(front).at(-1)?.status).toBe(200);
  });

  test('a file that goes while nginx sends it still reaches the client whole, and is fetched anew after', async () => {
    const front = await startWithBlob();
    const { url, ca, upstream, mirror } = front;
    const call = request(url, { path, ca });
    await call.firstByte;
    call.pause();
    await unlink(join(mirror.storePath, 'blobs-v1', inStore));
    call.resume();
    expect(await call.done).toMatchObject({ status: 200, sha256: blob.digest, end: 'complete' });
    await expectLines(front, byNginx);
    const asked = upstream.lines().length;
    expect(await get(url, path, { ca })).toMatchObject({ status: 200, sha256: blob.digest });
    expect(upstream.lines()).toHaveLength(asked + 1);
  });
});
