/** The connection to a real Redis: what it says of servers that can't be used, that it goes and comes back, and that it is never waited for. */
import { connect, createServer } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import type { RedisConfig } from '../../src/config/config.ts';
import { parseRedisUrl } from '../../src/config/sections/redis.ts';
import { RedisConnection } from '../../src/redis/redis-connection.ts';
import type { RedisProblem } from '../../src/redis/redis-problem.ts';
import type { Logger } from '../../src/telemetry/logger.ts';
import { unusedPort } from '../support/ports.ts';
import { startRedis } from '../support/real/redis.ts';
import { requires } from '../support/requires.ts';

function configOf(url: string, more: Partial<RedisConfig> = {}): RedisConfig {
  const { address, ...rest } = parseRedisUrl(url);
  return { mode: 'single', addresses: [address], ...rest, ...more };
}

interface Opened {
  readonly connection: RedisConnection;
  /** Lines of the log. */
  readonly lines: string[];
  /** Resolves when it is usable (undefined) or has a problem of that kind. */
  until(kind: RedisProblem['kind'] | undefined): Promise<void>;
}

async function open(redis: RedisConfig): Promise<Opened> {
  const lines: string[] = [];
  const write = (message: string, fields?: object) => lines.push(`${message} ${JSON.stringify(fields)}`);
  const logger: Logger = { debug: write, info: write, warn: write, error: write, child: () => logger };
  const connection = await RedisConnection.open({ redis, logger });
  onTestFinished(() => connection.close());
  await connection.firstCheck;
  const until = (kind: RedisProblem['kind'] | undefined) =>
    new Promise<void>(resolve => {
      const look = () => {
        if (connection.problem?.kind !== kind) return;
        stop();
        resolve();
      };
      const stop = connection.watch(look);
      look();
    });
  return { connection, lines, until };
}

/** A server that answers every command with the same bytes, or never. */
async function startAnswering(reply: string | undefined): Promise<string> {
  const server = createServer(socket => {
    socket.on('error', () => {});
    if (reply !== undefined) socket.on('data', () => socket.write(reply));
    onTestFinished(() => void socket.destroy());
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('expected a port');
  return `redis://127.0.0.1:${address.port}`;
}

test.each([
  ['an HTTP server', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'no-redis'],
  ['a server that says nothing', undefined, 'silent'],
  ['a server that is still loading', '-LOADING Redis is loading the dataset in memory\r\n', 'refusing'],
] as const)('%s is named', async (_name, reply, kind) => {
  const { connection } = await open(configOf(await startAnswering(reply)));
  expect(connection.problem).toMatchObject({ kind });
});

/** A server that says something as soon as a client connects, reads nothing and closes, as Redis does; or what stands behind it. */
async function startRefusing(saying: string) {
  let visits = 0;
  let behind: number | undefined;
  const server = createServer(socket => {
    visits += 1;
    socket.on('error', () => {});
    if (behind === undefined) {
      socket.end(saying, () => socket.destroy());
      return;
    }
    const redis = connect(behind, '127.0.0.1');
    redis.on('error', () => socket.destroy());
    onTestFinished(() => void redis.destroy());
    onTestFinished(() => void socket.destroy());
    socket.pipe(redis).pipe(socket);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('expected a port');
  return {
    url: `redis://127.0.0.1:${address.port}`,
    visits: () => visits,
    /** From now on all clients get to the server on that port. */
    admit(port: number): void {
      behind = port;
    },
  };
}

const protectedMode =
  '-DENIED Redis is running in protected mode because no password is set for the default user. In this mode connections are only accepted from the loopback interface. If you want\r\n';

test.each([
  [
    'in protected mode',
    protectedMode,
    'it is in protected mode: set a password there, or protected-mode no (DENIED Redis is running in protected mode because no password is set for the default user)',
  ],
  [
    'with too many clients',
    '-ERR max number of clients reached\r\n',
    'it refuses (ERR max number of clients reached)',
  ],
])('a Redis %s is named, whichever error the client got, and once', async (_name, saying, message) => {
  for (const more of [{}, { database: 2 }, { mode: 'cluster' }] as const) {
    const server = await startRefusing(saying);
    const { connection, lines } = await open(configOf(server.url, more));
    expect(connection.problem).toMatchObject({ kind: 'refusing', message });
    const { length } = lines;
    const before = server.visits();
    // It comes again and again, and asks each time.
    await expect.poll(server.visits, { timeout: 20_000 }).toBeGreaterThan(before + 3);
    expect(connection.problem).toMatchObject({ kind: 'refusing' });
    expect([length, lines.length]).toEqual([1, 1]);
  }
});

test('a server that closes without a word is unreachable', async () => {
  const { connection } = await open(configOf((await startRefusing('')).url));
  expect(connection.problem).toMatchObject({ kind: 'unreachable' });
  expect(connection.problem?.message).toMatch(/EPIPE|ECONNRESET|closed/);
});

test('a port without a listener, and a host that does not exist, are named', async () => {
  const { connection, lines } = await open(configOf(`redis://:sesame@127.0.0.1:${await unusedPort()}`));
  expect(connection.problem).toMatchObject({
    kind: 'unreachable',
    message: expect.stringContaining('ECONNREFUSED'),
  });
  expect((await open(configOf('redis://nobody.invalid'))).connection.problem?.kind).toBe('unreachable');
  expect(lines.join()).not.toContain('sesame');
  await expect(connection.call('ping')).rejects.toMatchObject({ kind: 'unreachable' });
});

requires('redis-server')('with a real redis-server', () => {
  test('commands and scripts are answered, also when it does not know the script yet', async () => {
    const redis = await startRedis({ args: ['--requirepass', 'sesame'], password: 'sesame' });
    const { connection, lines } = await open(configOf(redis.url));
    expect(connection.problem).toBeUndefined();
    const script = {
      lua: 'return {KEYS[1], ARGV[1]}',
      sha: '48b1e3b1b5d7b2e5e6e1f1a1bb3f0cfa7b3c7e55',
    };
    expect(await connection.run(script, ['k'], ['v'])).toEqual(['k', 'v']);
    expect(await connection.callBuffer('echo', Buffer.from([0, 255]))).toEqual(Buffer.from([0, 255]));
    await expect(connection.call('nonsense')).rejects.toMatchObject({ kind: 'refusing' });
    expect(lines).toHaveLength(1);
  });

  test('a wrong password, and none where one is needed, are named without being repeated', async () => {
    const redis = await startRedis({ args: ['--requirepass', 'sesame'], password: 'sesame' });
    for (const url of [`redis://:wrong4711@127.0.0.1:${redis.port}`, `redis://127.0.0.1:${redis.port}`]) {
      const { connection, lines } = await open(configOf(url));
      expect(connection.problem).toMatchObject({
        kind: 'password',
        message: expect.stringMatching(/^wrong user or password/),
      });
      expect(lines.join()).not.toMatch(/4711|sesame/);
    }
  });

  test('that turns all clients away at first and then does not: it is used', async () => {
    const redis = await startRedis();
    const server = await startRefusing(protectedMode);
    const { connection, lines, until } = await open(configOf(server.url));
    expect(connection.problem?.kind).toBe('refusing');
    server.admit(redis.port);
    await until(undefined);
    expect(await connection.call('ping')).toBe('PONG');
    expect(lines.map(line => line.split(' {')[0])).toEqual(['Redis cannot be used', 'Redis can be used']);
  });

  test('killed and started again: one line for each change, and commands fail at once in between', async () => {
    const redis = await startRedis();
    const { connection, lines, until } = await open(configOf(redis.url));
    await redis.kill();
    await until('unreachable');
    await expect(connection.call('ping')).rejects.toMatchObject({ kind: 'unreachable' });
    await redis.start();
    await until(undefined);
    expect(await connection.call('ping')).toBe('PONG');
    expect(lines.map(line => line.split(' {')[0])).toEqual([
      'Redis can be used',
      'Redis cannot be used',
      'Redis can be used',
    ]);
  });

  test('paused and continued: it is noticed though the connection stands', async () => {
    const redis = await startRedis();
    const { connection, until } = await open(configOf(redis.url));
    redis.pause();
    await expect(connection.call('ping')).rejects.toMatchObject({ kind: 'silent' });
    await until('silent');
    redis.resume();
    await until(undefined);
    expect(await connection.call('ping')).toBe('PONG');
  });

  test('made a replica, and a master again', async () => {
    const redis = await startRedis();
    const { connection, until } = await open(configOf(redis.url));
    const admin = redis.client();
    await admin.replicaof('127.0.0.1', await unusedPort());
    await until('read-only');
    await admin.replicaof('NO', 'ONE');
    await until(undefined);
    expect(connection.problem).toBeUndefined();
  });
});
