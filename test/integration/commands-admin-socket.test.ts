/**
 * The doors of the commands: the owner's socket and who may use it, `/api/v1/stats` on the TCP port and what it keeps to
 * itself, and what is said of bad input.
 */
import { chmod, mkdir, stat, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { hash } from 'bcrypt';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { AdminOptions } from '../../src/cli/admin-client.ts';
import { type ImageCommand, runImageCommand } from '../../src/cli/image-commands.ts';
import { runLs } from '../../src/cli/ls.ts';
import { runStats } from '../../src/cli/stats.ts';
import { runCistern, runForJson } from '../support/cistern-command.ts';
import { get, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { spawnTestMirror, startTestMirror } from '../support/mirror.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';
import { pull } from './commands-rig.ts';

/** A command in this process. */
async function run(file: string, work: (options: AdminOptions) => Promise<number>) {
  const [output, errors]: [string[], string[]] = [[], []];
  const code = await work({
    file,
    env: {},
    cwd: '/',
    write: text => void output.push(text),
    writeError: text => void errors.push(text),
  });
  return { code, output: output.join(''), errors: errors.join('') };
}

function askSocket(
  storePath: string,
  method: string,
  path: string,
  body?: string,
): Promise<{ status: number | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    const options = { socketPath: join(storePath, 'owner.sock'), method, path, agent: false };
    const asked = httpRequest(options, response => {
      let text = '';
      response.on('data', bytes => {
        text += String(bytes);
      });
      response.on('end', () => resolve({ status: response.statusCode, body: text }));
    });
    asked.on('error', reject).end(body);
  });
}

/** A configuration over a folder without a store. */
async function configFor(storePath: string): Promise<string> {
  const file = join(await tempDir(), 'mirror.yml');
  await writeFile(file, JSON.stringify({ store: { path: storePath, min_free: 0 } }));
  return file;
}

describe('the owner’s socket', () => {
  test('is for its user alone, and a second daemon is told whose the store is', async () => {
    const mirror = await spawnTestMirror();
    expect((await stat(join(mirror.storePath, 'owner.sock'))).mode & 0o777).toBe(0o600);
    const { code, stdout } = await runCistern(mirror.file, 'serve');
    expect(code).toBe(1);
    expect(stdout).toContain(`belongs to the running process ${mirror.process.pid}`);
    expect(await runForJson(mirror.file, 'stats')).toMatchObject({ daemon: { pid: mirror.process.pid } });
  });

  test('answers JSON to anything, and knows nothing but its commands', async () => {
    const mirror = await startTestMirror();
    const ask = (...args: [string, string, string?]) => askSocket(mirror.storePath, ...args);
    expect(await ask('GET', '/owner')).toEqual({ status: 200, body: `{"pid":${process.pid}}\n` });
    for (const [method, path, body, status, code] of [
      ['GET', '/api/v1/nothing', undefined, 404, 'UNSUPPORTED'],
      ['GET', '/v2/', undefined, 404, 'UNSUPPORTED'],
      ['GET', '/api/v1/pin', undefined, 404, 'UNSUPPORTED'],
      ['POST', '/api/v1/pin', undefined, 400, 'UNSUPPORTED'],
      ['POST', '/api/v1/pin', '[]', 400, 'UNSUPPORTED'],
      ['POST', '/api/v1/pin', '{"image":3}', 400, 'UNSUPPORTED'],
      ['POST', '/api/v1/pin', `{"image":"${'x'.repeat(70_000)}"}`, 400, 'SIZE_INVALID'],
      ['POST', '/api/v1/pin', '{"image":"A"}', 400, 'NAME_INVALID'],
      ['POST', '/api/v1/pin', '{"image":"a"}', 404, 'MANIFEST_UNKNOWN'],
      ['POST', '/api/v1/evict', `{"image":"sha256:${'0'.repeat(64)}"}`, 404, 'BLOB_UNKNOWN'],
    ] as const) {
      const answer = await ask(method, path, body);
      expect([path, body?.slice(0, 20), answer.status]).toEqual([path, body?.slice(0, 20), status]);
      expect(JSON.parse(answer.body)).toMatchObject({ errors: [{ code }] });
    }
    await mirror.close();
    await expect(ask('GET', '/owner')).rejects.toThrow('ENOENT');
  });

  test('is found in a store whose path is too long for a socket', async () => {
    const storePath = join(await tempDir(), ...Array.from({ length: 3 }, (_, n) => `${n}`.repeat(60)));
    await mkdir(storePath, { recursive: true });
    const { file } = await startTestMirror({ storePath });
    const { code, output } = await run(file, options => runStats({ ...options, json: true }));
    expect([code, JSON.parse(output)]).toMatchObject([0, { daemon: { pid: process.pid } }]);
  });

  test('held by another process that serves nothing: the command says so', async () => {
    const storePath = await tempDir();
    const file = await configFor(storePath);
    const { StoreOwner } = await import('../../src/store/owner.ts');
    const owner = await StoreOwner.acquire(storePath);
    onTestFinished(() => owner.release());
    expect(await run(file, options => runLs(options, undefined))).toEqual({
      code: 1,
      output: '',
      errors:
        'error: the process that has the store takes no commands now: it is starting or stopping, or it is a command itself\n',
    });
  });

  test('of a daemon of an older version: the command says so, and leaves the store alone', async () => {
    const storePath = await tempDir();
    const file = await configFor(storePath);
    const old = createServer(socket => socket.on('error', () => {}).end('{"pid":4711}\n'));
    await new Promise<void>(resolve => old.listen(join(storePath, 'owner.sock'), resolve));
    onTestFinished(() => void old.close());
    expect(await run(file, runStats)).toMatchObject({
      code: 1,
      errors: 'error: the running daemon has an older version: restart it\n',
    });
  });
});

describe('/api/v1/stats on the TCP port', () => {
  const secret = 'planted-upstream-password';
  const closed = buildImage({ layers: ['closed'] });
  const big = patternBlob('closed big', 3_000_000);

  /** An account that opens a private repository; what is pulled of it is on its way while the figures are read. */
  async function start(withUsers: boolean, metricsListen?: string) {
    const upstream = await startFakeUpstream({
      auth: {
        kind: 'token',
        anonymous: [],
        accounts: { u: { password: secret, repositories: ['secret/closed'] } },
      },
    });
    upstream.put('secret/closed', closed, 'latest');
    upstream.putBlob('secret/closed', big.digest, big);
    const htpasswd = join(await tempDir(), 'htpasswd');
    await writeFile(htpasswd, `alice:${await hash('alices', 4)}\n`);
    const rules = [{ repositories: ['docker.io/secret/**'], users: ['alice'] }];
    const mirror = await startTestMirror({
      upstream,
      hub: { username: 'u', password: secret, share: withUsers ? 'public' : 'all' },
      config: {
        ...(withUsers && { access: { htpasswd, rules } }),
        store: { max_size: 64 * 1024 * 1024 }, // below what any disk has free, so that it is what decides
        ...(metricsListen !== undefined && { metrics: { listen: metricsListen } }),
      },
    });
    return { upstream, mirror };
  }
  const alice = { Authorization: `Basic ${Buffer.from('alice:alices').toString('base64')}` };

  test.each([{ withUsers: false }, { withUsers: true }])(
    'says figures, and no name of a repository, digest, path or secret (users: $withUsers)',
    async ({ withUsers }) => {
      const { upstream, mirror } = await start(withUsers);
      const headers = withUsers ? alice : {};
      expect((await get(mirror.url, '/v2/secret/closed/manifests/latest', { headers })).status).toBe(200);
      const gate = upstream.holdAfter({ digest: big.digest }, 2_000_000);
      const call = request(mirror.url, {
        path: `/v2/secret/closed/blobs/${big.digest}`,
        headers,
        keep: false,
      });
      await gate.reached;
      // another one looks at the first bytes for the while that it takes
      const daemon = async () =>
        JSON.parse((await askSocket(mirror.storePath, 'GET', '/api/v1/stats')).body).daemon;
      await expect.poll(daemon).toMatchObject({ downloads: [{ followers: 1 }] });
      const { status, body, headers: answered } = await get(mirror.url, '/api/v1/stats', { headers });
      expect(status).toBe(200);
      expect(answered.get('cache-control')).toBe('no-store');
      expect(JSON.parse(body.toString())).toMatchObject({
        store: { limitReason: 'max_size' },
        daemon: {
          upstreams: [{ upstream: 'docker.io', up: true }],
          downloads: [{ upstream: 'docker.io', sizeBytes: 3_000_000, followers: 1 }],
          requests: { error: 0 },
        },
      });
      for (const name of ['secret', 'closed', big.digest, mirror.storePath, 'alice'])
        expect(body.toString()).not.toContain(name);
      const { body: full } = await askSocket(mirror.storePath, 'GET', '/api/v1/stats');
      expect(full).toContain('docker.io/secret/closed');
      expect(full).toContain(big.digest);
      gate.release();
      expect((await call.done).sha256).toBe(big.digest);
    },
  );

  test('needs a login where there are users', async () => {
    const { mirror } = await start(true);
    const without = await get(mirror.url, '/api/v1/stats');
    expect([without.status, without.headers.get('www-authenticate')]).toEqual([401, undefined]);
    const wrong = { Authorization: `Basic ${Buffer.from('alice:x').toString('base64')}` };
    expect((await get(mirror.url, '/api/v1/stats', { headers: wrong })).status).toBe(401);
    expect((await get(mirror.url, '/api/v1/stats', { headers: alice })).status).toBe(200);
  });

  test('knows none of the commands of the admin socket, for any caller', async () => {
    const { mirror } = await start(true);
    const body = '{"image":"secret/closed"}';
    const headers = { ...alice, Origin: mirror.url, 'Content-Type': 'application/json' };
    for (const path of ['/api/v1/evict', '/api/v1/pin', '/api/v1/refresh', '/api/', '/api/v2/stats']) {
      for (const method of ['GET', 'POST', 'DELETE']) {
        const answer = await request(mirror.url, { path, method, headers, body }).done;
        expect([path, method, answer.status]).toEqual([path, method, 404]);
      }
    }
    const posted = await request(mirror.url, { path: '/api/v1/stats', method: 'POST', headers, body }).done;
    expect([posted.status, posted.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });

  test('is beside the page, wherever the metrics are', async () => {
    const { mirror } = await start(false, '127.0.0.1:0');
    expect((await get(mirror.url, '/api/v1/stats')).status).toBe(200);
    expect((await get(mirror.url, '/metrics')).status).toBe(404);
  });
});

describe('bad input', () => {
  const commands: readonly ImageCommand[] = ['refresh', 'evict', 'pin', 'unpin'];

  test.each(commands)('%s: a bad name among good ones, and nothing is done', async command => {
    const upstream = await startFakeUpstream();
    const image = buildImage();
    upstream.put('library/app', image, 'latest');
    const mirror = await startTestMirror({ upstream });
    await pull(mirror, 'library/app', image);
    const before = upstream.lines().length;
    for (const [bad, expected] of [
      ['App', 'expected [HOST/]REPOSITORY[:TAG|@DIGEST] in lower case, got "App"'],
      ['app:!', "expected a tag of at most 128 letters, digits, '_', '.' and '-', got \"!\""],
      ['app@sha256:1', 'expected sha256: or sha512: with lower-case hex, got "sha256:1"'],
    ] as const) {
      expect(await run(mirror.file, options => runImageCommand(command, options, ['app', bad]))).toEqual({
        code: 2,
        output: '',
        errors: `error: ${expected}\n`,
      });
    }
    expect(upstream.lines()).toHaveLength(before);
    expect(await run(mirror.file, options => runImageCommand(command, options, ['unknown']))).toEqual({
      code: 1,
      output: '',
      errors: 'error: docker.io/library/unknown:latest is not held\n',
    });
    const { output } = await run(mirror.file, options => runLs(options, undefined));
    expect(output).toMatch(/library\/app:latest .* complete/);
    expect(output).not.toContain('pinned');
  });

  test('a digest to refresh, and a pattern that no name could match', async () => {
    const { file } = await startTestMirror();
    const image = `app@sha256:${'0'.repeat(64)}`;
    expect(await run(file, options => runImageCommand('refresh', options, [image]))).toMatchObject({
      code: 2,
      errors: `error: refresh needs a tag, because a digest never moves: ${image}\n`,
    });
    expect(await run(file, options => runLs(options, 'Docker.io/{a,b}'))).toMatchObject({
      code: 2,
      errors: expect.stringContaining('error: not an image or a pattern of images'),
    });
  });

  test('an unusable configuration is 2, a store that isn’t there 1, and none is made', async () => {
    const file = join(await tempDir(), 'mirror.yml');
    await writeFile(file, 'stor: {}\n');
    const missing = join(await tempDir(), 'nowhere');
    const empty = await configFor(missing);
    for (const work of [
      runStats,
      (options: AdminOptions) => runLs(options, undefined),
      ...commands.map(command => (options: AdminOptions) => runImageCommand(command, options, ['app'])),
    ]) {
      expect(await run(file, work)).toMatchObject({
        code: 2,
        output: '',
        errors: expect.stringContaining('stor'),
      });
      expect(await run(empty, work)).toEqual({
        code: 1,
        output: '',
        errors: `error: there is no store at ${missing} (store.path): no daemon has run there yet\n`,
      });
    }
    await expect(stat(missing)).rejects.toThrow('ENOENT');
  });

  test('a store of a later version is left alone', async () => {
    const storePath = join(await tempDir(), 'data');
    await mkdir(storePath);
    await writeFile(join(storePath, 'layout'), '{"version":2}\n');
    const file = await configFor(storePath);
    expect(await run(file, options => runImageCommand('pin', options, ['app']))).toMatchObject({
      code: 1,
      errors: expect.stringContaining('has a layout of version 2, this Cistern knows version 1'),
    });
  });

  test('with --json an image that fails is an entry too', async () => {
    const { file } = await startTestMirror();
    const { code, output } = await run(file, options =>
      runImageCommand('pin', { ...options, json: true }, ['unknown', 'other:1']),
    );
    expect(code).toBe(1);
    const error = (image: string, name: string) => ({
      image,
      error: { code: 'MANIFEST_UNKNOWN', message: `docker.io/library/${name} is not held` },
    });
    expect(JSON.parse(output)).toEqual({
      images: [error('unknown', 'unknown:latest'), error('other:1', 'other:1')],
    });
  });

  test.skipIf(process.geteuid?.() !== 0)('a change by another user than the store’s is refused', async () => {
    const { chown } = await import('node:fs/promises');
    const mirror = await startTestMirror();
    await mirror.close();
    await chown(join(mirror.storePath, 'layout'), 4711, 4711);
    await chmod(mirror.storePath, 0o755);
    const { code, errors } = await run(mirror.file, options => runImageCommand('pin', options, ['app']));
    expect([code, errors]).toEqual([
      1,
      `error: the store at ${mirror.storePath} belongs to the user with id 4711: run this as that user, got 0\n`,
    ]);
    expect((await run(mirror.file, options => runLs(options, undefined))).code).toBe(0);
  });
});
