/**
 * A mirror that is told to keep its LRU index in a Redis that can't: it says which problem it is, and serves all the same or
 * doesn't start, as `lru.required` says. And the ways to a Redis that can: ACL user, TLS, Sentinel, Cluster.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { stringify } from 'yaml';
import { serve } from '../../src/cli/serve.ts';
import { CertificateAuthority } from '../support/certificates.ts';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { startOldRedis } from '../support/old-redis.ts';
import { unusedPort } from '../support/ports.ts';
import { RedisServer, startRedis } from '../support/real/redis.ts';
import { requires } from '../support/requires.ts';
import { makeTempDir, tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const id = '0123456789abcdef';
const blob = patternBlob('start with redis', 10_000);

/** A store whose id is known before the mirror runs. */
async function makeStore(): Promise<string> {
  const path = await tempDir();
  await writeFile(join(path, 'id'), `${id}\n`);
  return path;
}

async function pull(mirror: TestMirror): Promise<number> {
  const { status, sha256 } = await get(mirror.url, `/v2/library/x/blobs/${blob.digest}`);
  return sha256 === blob.digest ? status : 0;
}

async function startMirrorWith(redis: unknown): Promise<TestMirror> {
  const upstream = await startFakeUpstream();
  upstream.putBlob('library/x', blob.digest, blob);
  const mirror = await startTestMirror({
    upstream,
    storePath: await makeStore(),
    config: { lru: { redis } },
  });
  await mirror.settled();
  return mirror;
}

async function readiness(mirror: TestMirror): Promise<unknown> {
  return JSON.parse((await get(mirror.url, '/readyz')).body.toString());
}

/** Exit code and what goes to standard error of `cistern serve` that ends by itself. */
async function startRequired(redis: unknown): Promise<{ code: number; error: string }> {
  const folder = await tempDir();
  const file = join(folder, 'mirror.yml');
  const store = { path: await makeStore() };
  await writeFile(
    file,
    stringify({ http: { listen: '127.0.0.1:0' }, store, lru: { redis, required: true } }),
  );
  let error = '';
  const code = await serve({
    file,
    env: {},
    cwd: folder,
    process: { pid: 1, on: () => {}, off: () => {} },
    writeError: text => {
      error += text;
    },
    writeLog: () => {},
  });
  return { code, error };
}

interface Flaw {
  readonly name: string;
  readonly problem: RegExp;
  /** Gives `lru.redis`. */
  prepare(): Promise<unknown>;
}

const flaws: readonly Flaw[] = [
  {
    name: 'has another password',
    problem: /wrong user or password \(WRONGPASS/,
    prepare: async () => {
      const redis = await startRedis({ args: ['--requirepass', 'sesame4711'], password: 'sesame4711' });
      return { url: `redis://127.0.0.1:${redis.port}`, password: 'wrong4711' };
    },
  },
  {
    name: 'has no such user',
    problem: /wrong user or password \(WRONGPASS/,
    prepare: async () => `redis://nobody:wrong4711@127.0.0.1:${(await startRedis()).port}`,
  },
  {
    name: 'gives the user no rights',
    problem: /the user may not do what is needed \(NOPERM/,
    prepare: async () => {
      const redis = await startRedis({
        args: ['--user', 'weak', 'on', '>pass4711', '~*', '+ping', '+hello', '+auth'],
      });
      return `redis://weak:pass4711@127.0.0.1:${redis.port}`;
    },
  },
  {
    name: 'is not there',
    problem: /ECONNREFUSED/,
    prepare: async () => `redis://127.0.0.1:${await unusedPort()}`,
  },
  { name: 'has a wrong name', problem: /ENOTFOUND|EAI_AGAIN/, prepare: async () => 'redis://nobody.invalid' },
  {
    name: 'is too old',
    problem: /Redis 6\.2 or newer is needed, this is 5\.0\.14/,
    prepare: async () => `redis://127.0.0.1:${(await startOldRedis('5.0.14')).port}`,
  },
  {
    name: 'is a web server',
    problem: /what answers there is no Redis/,
    prepare: async () => `redis://127.0.0.1:${(await startFakeUpstream()).port}`,
  },
  {
    name: 'speaks no TLS',
    problem: /connect ETIMEDOUT; does it speak TLS\?/,
    prepare: async () => `rediss://127.0.0.1:${(await startRedis()).port}`,
  },
  {
    name: 'is a replica',
    problem: /it is a read-only replica/,
    prepare: async () => {
      const redis = await startRedis({ args: ['--replicaof', '127.0.0.1', String(await unusedPort())] });
      return redis.url;
    },
  },
  {
    name: 'holds foreign data',
    problem: /Redis holds foreign data: cistern:\{0123456789abcdef\}:size is a set and not a hash/,
    prepare: async () => {
      const redis = await startRedis();
      await redis.client().sadd(`cistern:{${id}}:size`, 'theirs');
      return redis.url;
    },
  },
];

requires('redis-server')('a Redis for the LRU index that', () => {
  test.each(flaws)('$name: the mirror says so and serves', async ({ problem, prepare }) => {
    const mirror = await startMirrorWith(await prepare());
    expect(await pull(mirror)).toBe(200);
    const said = () => mirror.log.filter(({ reason }) => problem.test(String(reason))).length;
    await expect.poll(said, { timeout: 20_000 }).toBe(1);
    expect(await readiness(mirror)).toMatchObject({ ok: true, lru: 'degraded' });
    expect(JSON.stringify(mirror.log)).not.toContain('4711');
  });

  test.each(flaws)('$name, and is required: the start is refused', async ({ problem, prepare }) => {
    const { code, error } = await startRequired(await prepare());
    expect(code).toBe(2);
    expect(error).toMatch(problem);
    expect(error).toMatch(
      /^lru\.redis: Redis at \S+ can't be used, and lru\.required says not to start without: .+\n$/,
    );
    expect(error).not.toContain('4711');
  });

  test('can be used, and is required: the mirror starts', async () => {
    const redis = await startRedis();
    const mirror = await startTestMirror({ config: { lru: { redis: redis.url, required: true } } });
    await expect.poll(() => readiness(mirror)).toMatchObject({ ok: true, lru: 'redis' });
  });
});

requires('redis-server')('the LRU index is kept in Redis', () => {
  async function expectKept(redis: unknown, read: () => Promise<number>): Promise<void> {
    const mirror = await startMirrorWith(redis);
    expect(await pull(mirror)).toBe(200);
    await expect.poll(read, { timeout: 20_000 }).toBe(1);
    expect(await readiness(mirror)).toMatchObject({ lru: 'redis' });
    expect(mirror.log.filter(({ level }) => level === 'warn')).toEqual([]);
  }
  const countIn = (server: RedisServer, database = 0) => server.client(database).zcard(`cistern:{${id}}:lru`);

  test('as an ACL user with no more rights than it needs, in another database', async () => {
    const rights = ['~cistern:*', '+@read', '+@write', '+@connection', '+@scripting', '-@dangerous'];
    const redis = await startRedis({ args: ['--user', 'cistern', 'on', '>s%ret', ...rights] });
    await expectKept(`redis://cistern:s%25ret@127.0.0.1:${redis.port}/3`, () => countIn(redis, 3));
  });

  test('over TLS', async () => {
    const folder = await tempDir();
    const authority = new CertificateAuthority(folder);
    const { cert, key } = authority.issue();
    const [certFile, keyFile] = [join(folder, 'redis.pem'), join(folder, 'redis.key')];
    await writeFile(certFile, cert);
    await writeFile(keyFile, key);
    const redis = await startRedis({ tls: { certFile, keyFile, caPem: authority.caPem } });
    await expectKept({ url: redis.url, ca_file: authority.caFile }, () => countIn(redis));
    const unnamed = await startMirrorWith(redis.url);
    await expect
      .poll(() => unnamed.log.map(({ reason }) => String(reason)).join())
      .toMatch(/TLS failed \(UNABLE_TO|TLS failed \(SELF_SIGNED/);
  });

  test('that Sentinels know, with a password from a file', async () => {
    const master = await startRedis({ args: ['--requirepass', 'sesame'], password: 'sesame' });
    const { path, remove } = await makeTempDir();
    const configFile = join(path, 'sentinel.conf');
    await writeFile(
      configFile,
      `sentinel monitor main 127.0.0.1 ${master.port} 1\nsentinel auth-pass main sesame\nprotected-mode no\n`,
    );
    const sentinel = new RedisServer({ configFile, args: ['--sentinel'] }, { path, remove });
    onTestFinished(() => sentinel.remove());
    await sentinel.start();
    const passwordFile = join(await tempDir(), 'password');
    await writeFile(passwordFile, 'sesame\n');
    const redis = {
      sentinels: [`127.0.0.1:${sentinel.port}`],
      sentinel_name: 'main',
      password_file: passwordFile,
    };
    await expectKept(redis, () => countIn(master));
  });

  test('of a Cluster', async () => {
    const bus = String(await unusedPort());
    const node = await startRedis({
      args: ['--cluster-enabled', 'yes', '--cluster-port', bus, '--cluster-announce-ip', '127.0.0.1'],
    });
    await node.client().cluster('ADDSLOTSRANGE', 0, 16_383);
    await expect.poll(() => node.client().cluster('INFO'), { timeout: 20_000 }).toContain('cluster_state:ok');
    await expectKept({ cluster: [`127.0.0.1:${node.port}`] }, () => countIn(node));
  });
});
