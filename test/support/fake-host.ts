/**
 * One listening server of the fake upstream, with the faults that concern all of it: refusing connections on its port
 * and coming back on the same one, and freezing (connections are accepted by the kernel and by us, nothing is
 * answered, running bodies stand still). It owns all its sockets; `close()` leaves none behind.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Certificate } from './certificates.ts';
import { type Deferred, deferred } from './gates.ts';

const listenTries = 40;
const listenAgainMs = 50;

export type Handler = (request: IncomingMessage, response: ServerResponse, host: FakeHost) => Promise<void>;

export class FakeHost {
  readonly #server: Server;
  readonly #scheme: 'http' | 'https';
  readonly #sockets = new Set<Socket>();
  /** TCP sockets by the peer's port: a TLS socket can't be reset, the one below it can. */
  readonly #byPeerPort = new Map<number, Socket>();
  readonly #closed = new WeakMap<Socket, Promise<void>>();
  #port = 0;
  #thawed: Deferred<void> | undefined;
  #connections = 0;
  #failure: unknown;

  constructor(handler: Handler, certificate?: Certificate) {
    this.#scheme = certificate === undefined ? 'http' : 'https';
    this.#server =
      certificate === undefined
        ? createServer()
        : createTlsServer({ key: certificate.key, cert: certificate.cert });
    // The fake never closes an idle connection by itself: a test must not meet that race.
    this.#server.keepAliveTimeout = 0;
    this.#server.requestTimeout = 0;
    this.#server.on('connection', (socket: Socket) => this.#track(socket));
    this.#server.on('request', (request, response) => {
      handler(request, response, this).catch((error: unknown) => {
        this.#failure ??= error;
        response.destroy();
      });
    });
  }

  get port(): number {
    return this.#port;
  }

  /** `127.0.0.1:PORT` */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** `http://127.0.0.1:PORT` */
  get url(): string {
    return `${this.#scheme}://${this.address}`;
  }

  /** Connections accepted since the start. */
  get connections(): number {
    return this.#connections;
  }

  async listen(): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        await this.#listenOnce();
        return;
      } catch (error) {
        if (tries >= listenTries || !isAddressInUse(error)) throw error;
        await new Promise(resolve => setTimeout(resolve, listenAgainMs));
      }
    }
  }

  /** Stops listening; the running connections end too unless they are kept. Resolves when the port refuses. */
  async refuse(options: { readonly keepConnections?: boolean } = {}): Promise<void> {
    if (this.#server.listening) this.#server.close();
    if (options.keepConnections !== true) for (const socket of this.#sockets) socket.destroy();
    await new Promise(resolve => setImmediate(resolve));
  }

  /** Listens again on the same port. */
  async accept(): Promise<void> {
    if (!this.#server.listening) await this.listen();
  }

  freeze(): void {
    this.#thawed ??= deferred();
  }

  thaw(): void {
    this.#thawed?.resolve();
    this.#thawed = undefined;
  }

  /** Resolves at once unless frozen, or when the connection has gone. */
  async untilThawed(socket: Socket): Promise<void> {
    while (this.#thawed !== undefined && !socket.destroyed) {
      await Promise.race([this.#thawed.promise, this.closed(socket)]);
    }
  }

  /** Resolves when this connection has gone. One listener for each connection, however often it is asked. */
  closed(socket: Socket): Promise<void> {
    if (socket.destroyed) return Promise.resolve();
    const known = this.#closed.get(socket);
    if (known !== undefined) return known;
    const closed = new Promise<void>(resolve => socket.once('close', () => resolve()));
    this.#closed.set(socket, closed);
    return closed;
  }

  /** The TCP socket under a request's socket. */
  transportOf(socket: Socket): Socket {
    return this.#byPeerPort.get(socket.remotePort ?? 0) ?? socket;
  }

  /** Idempotent. Rejects if the fake itself failed while answering: then no result of the test counts. */
  async close(): Promise<void> {
    this.thaw();
    await this.refuse();
    if (this.#failure !== undefined)
      throw new Error('the fake upstream itself failed', { cause: this.#failure });
  }

  #listenOnce(): Promise<void> {
    const { promise, resolve, reject } = deferred();
    this.#server.once('error', reject);
    this.#server.listen(this.#port, '127.0.0.1', () => {
      this.#server.off('error', reject);
      this.#port = (this.#server.address() as AddressInfo).port;
      resolve();
    });
    return promise;
  }

  #track(socket: Socket): void {
    const peerPort = socket.remotePort ?? 0;
    this.#connections += 1;
    this.#sockets.add(socket);
    this.#byPeerPort.set(peerPort, socket);
    socket.setNoDelay(true);
    socket.on('error', () => {}); // a peer that resets is part of many tests
    socket.on('close', () => {
      this.#sockets.delete(socket);
      if (this.#byPeerPort.get(peerPort) === socket) this.#byPeerPort.delete(peerPort);
    });
  }
}

function isAddressInUse(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
}
