/** A server that speaks as Redis 5 did, as far as a client gets with it before it asks for the version. */
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import { commandNamesIn } from './redis-proxy.ts';

export async function startOldRedis(version: string): Promise<{ readonly port: number }> {
  const sockets = new Set<Socket>();
  const info = `# Server\r\nredis_version:${version}\r\nredis_mode:standalone\r\n`;
  const replies: Readonly<Record<string, string>> = {
    info: `$${info.length}\r\n${info}\r\n`,
    ping: '+PONG\r\n',
    client: '+OK\r\n',
    select: '+OK\r\n',
    auth: '+OK\r\n',
  };
  const server = createServer(socket => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      for (const name of commandNamesIn(chunk))
        socket.write(replies[name] ?? `-ERR unknown command \`${name}\`, with args beginning with: \r\n`);
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port };
}
