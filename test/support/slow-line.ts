/** A slow line: a TCP relay on 127.0.0.1 that lets so many bytes a second go up, over all connections; what comes down is as fast as it comes. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

export class SlowLine {
  readonly #toPort: number;
  readonly #bytesPerSecond: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** When the line has sent everything it took so far. */
  #freeAtMs = 0;
  upBytes = 0;

  private constructor(toPort: number, bytesPerSecond: number) {
    this.#toPort = toPort;
    this.#bytesPerSecond = bytesPerSecond;
    this.#server = createServer(socket => this.#relay(socket));
  }

  /** For the running test. */
  static async start(toPort: number, bytesPerSecond: number): Promise<SlowLine> {
    const line = new SlowLine(toPort, bytesPerSecond);
    await new Promise<void>(resolve => line.#server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => line.#close());
    return line;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async #close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise(resolve => this.#server.close(resolve));
  }

  #relay(client: Socket): void {
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
      client.pause();
      this.#freeAtMs = Math.max(this.#freeAtMs, Date.now()) + (chunk.length / this.#bytesPerSecond) * 1000;
      setTimeout(() => {
        server.write(chunk);
        client.resume();
      }, this.#freeAtMs - Date.now());
    });
    client.on('end', () => server.end());
    server.pipe(client);
  }
}
