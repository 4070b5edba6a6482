/** The `lru` section: a URL or a section for Redis, Sentinel or Cluster, and secrets that no message repeats. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LruConfig } from '../../../../src/config/config.ts';
import { ConfigFolder } from '../config-folder.ts';

let folder: ConfigFolder;
beforeEach(async () => {
  folder = await ConfigFolder.create();
});
afterEach(() => folder.remove());

async function lru(text: string, env: NodeJS.ProcessEnv = {}): Promise<LruConfig> {
  return (await folder.load(text, env)).config.lru;
}

describe('lru', () => {
  it.each([
    ['redis://localhost', { addresses: [{ host: 'localhost', port: 6379 }], tls: false, database: 0 }],
    [
      'redis://:p%40%2F%3A@[::1]:7000/3',
      { addresses: [{ host: '::1', port: 7000 }], password: 'p@/:', tls: false, database: 3 },
    ],
    [
      'rediss://cistern:se:cret@redis.lan/',
      {
        addresses: [{ host: 'redis.lan', port: 6379 }],
        username: 'cistern',
        password: 'se:cret',
        tls: true,
        database: 0,
      },
    ],
  ])('takes %s', async (url, expected) => {
    const { redis, required } = await lru(`lru: { redis: "${url}" }`);
    expect(redis).toEqual({ mode: 'single', ...expected });
    expect(required).toBe(false);
    expect((await lru(`lru: { redis: { url: "${url}" } }`)).redis).toEqual(redis);
    expect((await lru('', { CISTERN_LRU_REDIS: url })).redis).toEqual(redis);
    expect((await lru('lru: { redis: redis://other:1 }', { CISTERN_LRU_REDIS: url })).redis).toEqual(redis);
  });

  it('takes Sentinels, with secrets from files', async () => {
    await folder.write('secret', 'p\n');
    await folder.write('sentinel', 's\n');
    const text =
      'lru: { required: true, redis: { sentinels: [s1, "s2:1"], sentinel_name: main, username: u, password_file: secret, sentinel_password_file: sentinel, database: 2, tls: true } }';
    expect(await lru(text)).toEqual({
      required: true,
      redis: {
        mode: 'sentinel',
        addresses: [
          { host: 's1', port: 26379 },
          { host: 's2', port: 1 },
        ],
        sentinelName: 'main',
        username: 'u',
        password: 'p',
        sentinelPassword: 's',
        database: 2,
        tls: true,
      },
    });
  });

  it('takes a Cluster', async () => {
    const { redis } = await lru('lru: { redis: { cluster: [a, "b:7001"], password: p } }');
    expect(redis).toEqual({
      mode: 'cluster',
      addresses: [
        { host: 'a', port: 6379 },
        { host: 'b', port: 7001 },
      ],
      password: 'p',
      database: 0,
      tls: false,
    });
  });

  it('takes single keys from the environment, over a URL in the file too', async () => {
    await folder.write('secret', 'p\n');
    const env = { CISTERN_LRU_REDIS_PASSWORD_FILE: 'secret', CISTERN_LRU_REQUIRED: 'true' };
    const { redis, required } = await lru('lru: { redis: "redis://r:1" }', env);
    expect(redis).toMatchObject({ addresses: [{ host: 'r', port: 1 }], password: 'p' });
    expect(required).toBe(true);
    const sentinels = { CISTERN_LRU_REDIS_SENTINELS: 'a,b:2', CISTERN_LRU_REDIS_SENTINEL_NAME: 'm' };
    expect((await lru('', sentinels)).redis?.addresses).toHaveLength(2);
  });

  it.each([
    ['redis: "http://r"', '1:15: lru.redis: expected a URL such as redis://'],
    ['redis: "redis://secret4711@r"', '1:15: lru.redis: expected a password after the user'],
    ['redis: "redis://u:p%z4711@r"', '1:15: lru.redis: expected user and password with %'],
    ['redis: "redis://u:4711#x@r"', '1:15: lru.redis: expected a URL such as redis://'],
    ['redis: "redis://r:99999"', 'lru.redis: expected a host such as'],
    ['redis: "redis://r/one"', 'lru.redis: expected a URL such as redis://'],
    ['redis: 6379', 'lru.redis: expected a URL such as redis://'],
    ['redis: {}', 'lru.redis: needs one of url, sentinels and cluster'],
    [
      'redis: { url: "redis://r", cluster: [a] }',
      'lru.redis.cluster: give only one of url, sentinels and cluster',
    ],
    [
      'redis: { sentinels: [a] }',
      'lru.redis.sentinels: needs sentinel_name, the name of the master in the Sentinels',
    ],
    ['redis: { cluster: [a], sentinel_name: m }', 'lru.redis.sentinel_name: needs sentinels'],
    ['redis: { cluster: [a], database: 1 }', 'lru.redis.database: a Redis Cluster has only database 0'],
    ['redis: { url: "redis://r", tls: true }', 'lru.redis.tls: belongs in the url, as rediss://'],
    [
      'redis: { url: "redis://:4711@r", password: x }',
      'give user and password either in the url or in keys, not in both',
    ],
    ['redis: { url: "redis://r", username: u }', 'needs password or password_file'],
    [
      'redis: { url: "redis://r", password: a, password_file: b }',
      'give either password or password_file, not both',
    ],
    ['redis: { url: "redis://r", password_file: nope }', 'lru.redis.password_file: nope: no such file'],
    ['redis: { url: "redis://r", pasword: x }', 'did you mean password?'],
    ['required: true', '1:8: lru.required: needs lru.redis'],
  ])('with %s stops the start', async (text, problem) => {
    const problems = (await folder.problems(`lru: { ${text} }\n`)).join('\n');
    expect(problems).toContain(problem);
    expect(problems).not.toContain('4711');
  });
});
