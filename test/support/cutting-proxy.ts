/**
 * A bad line: a TCP relay on 127.0.0.1 that resets the connection when so many bytes have gone up through it, counted over all
 * connections; each cut once. `upBytes` counts what went up in all, `connections` how often it was called.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

export async function startCuttingProxy(toPort: number, cutAt: readonly number[]): Promise<CuttingProxy> {
  const proxy = new CuttingProxy(toPort, cutAt);
  await proxy.listen();
  onTestFinished(() => proxy.close());
  return proxy;
}

export class CuttingProxy {
  readonly #toPort: number;
  readonly #cutAt: number[];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  upBytes = 0;
  connections = 0;
  cuts = 0;

  constructor(toPort: number, cutAt: readonly number[]) {
    this.#toPort = toPort;
    this.#cutAt = [...cutAt];
    this.#server = createServer(socket => this.#relay(socket));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async listen(): Promise<void> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve));
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise(resolve => this.#server.close(resolve));
  }

  #relay(client: Socket): void {
    this.connections += 1;
    const server = connect(this.#toPort, '127.0.0.1');
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on('error', () => {}); // `close` follows
      socket.on('close', () => {
        this.#sockets.delete(socket);
        client.destroy();
        server.destroy();
      });
    }
    client.on('data', (chunk: Buffer) => {
      this.upBytes += chunk.length;
      const [cut] = this.#cutAt;
      if (cut !== undefined && this.upBytes >= cut) {
        this.#cutAt.shift();
        this.cuts += 1;
        client.resetAndDestroy();
        server.end(chunk);
        return;
      }
      if (!server.write(chunk)) {
        client.pause();
        server.once('drain', () => client.resume());
      }
    });
    server.pipe(client);
  }
}
