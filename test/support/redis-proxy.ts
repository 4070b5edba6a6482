/**
 * A TCP proxy in front of a redis-server that knows every command that passed, and can hold all of it back.
 *
 *     const proxy = await startRedisProxy(redis.port);      // lru: { redis: `redis://127.0.0.1:${proxy.port}` }
 *     proxy.hold();
 *     expect(proxy.commands).toEqual(['hello', 'ping']);
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

export interface RedisProxy {
  readonly port: number;
  /** Names in small letters, in the order they came from the mirror. */
  readonly commands: readonly string[];
  /** From now on nothing passes in either direction. */
  hold(): void;
}

export async function startRedisProxy(redisPort: number): Promise<RedisProxy> {
  const commands: string[] = [];
  const sockets = new Set<Socket>();
  let isHeld = false;
  const server = createServer(client => {
    const redis = connect(redisPort, '127.0.0.1');
    const pairs = [
      [client, redis],
      [redis, client],
    ] as const;
    for (const [from, to] of pairs) {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
      from.on('data', (chunk: Buffer) => {
        if (from === client) commands.push(...commandNamesIn(chunk));
        if (!isHeld) to.write(chunk);
      });
    }
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    commands,
    hold: () => {
      isHeld = true;
    },
  };
}

/** RESP: `*COUNT`, then the name as the first bulk string. Arguments hold no such thing but by a wild chance. */
export function commandNamesIn(chunk: Buffer): string[] {
  const pattern = /\*\d+\r\n\$\d+\r\n([a-z]+)\r\n/gi;
  return Array.from(chunk.toString('latin1').matchAll(pattern), match => (match[1] ?? '').toLowerCase());
}
