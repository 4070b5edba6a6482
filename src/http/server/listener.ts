/**
 * One Node server per address over one set of connections. Starts on all addresses or on none; stops by draining: no new
 * connections, running answers finish until the drain ends, then the rest is cut. Bytes that Node's parser refuses are
 * answered here, on the bare socket.
 */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import { type AddressInfo, Server as NetServer, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { RegistryError } from '../../oci/error.ts';
import type { Logger } from '../../telemetry/logger.ts';

export interface ListenerOptions {
  /** At least one. `host` is an IP address or a name; `port` 0 asks for a free one. */
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
  readonly handle: RequestListener;
  readonly logger: Logger;
  /** Called with the status that a refused request was answered with. */
  readonly onRefused?: (status: number) => void;
  /** Until the headers of a request must be complete. Milliseconds. */
  readonly headersTimeoutMs?: number;
  /** How often that is looked at. Milliseconds. */
  readonly checkIntervalMs?: number;
}

/** Longer than the 60 s of common proxies, so that the proxy closes an idle connection. */
const keepAliveMs = 75_000;
const headersMs = 60_000;
const checkMs = 10_000;
/** The kernel finds clients that vanished. */
const probeMs = 60_000;
/** How long clients have to take the FIN after the drain. */
const cutMs = 500;

export class Listener {
  /** In the order of `addresses`, with the real port. */
  readonly urls: readonly string[];
  readonly #servers: readonly Server[];
  readonly #connections: Connections;
  #closing: Promise<void> | undefined;

  private constructor(servers: readonly Server[], connections: Connections) {
    this.#servers = servers;
    this.#connections = connections;
    this.urls = servers.map(server => formatUrl(server.address()));
  }

  /** Errors: those of `listen` (EADDRINUSE, EACCES …), naming the address; nothing is left listening. */
  static async open(options: ListenerOptions): Promise<Listener> {
    const connections = new Connections(options.handle);
    const servers: Server[] = [];
    try {
      for (const address of options.addresses) {
        servers.push(await openServer(address, options, connections));
      }
    } catch (error) {
      for (const server of servers) server.close();
      throw error;
    }
    return new Listener(servers, connections);
  }

  /** Idempotent. Resolves when every connection is closed. */
  close(options: { readonly drainMs: number }): Promise<void> {
    this.#closing ??= this.#close(options.drainMs);
    return this.#closing;
  }

  async #close(drainMs: number): Promise<void> {
    // Not the http server's own `close`: it destroys connections whose answer is written but not yet flushed.
    for (const server of this.#servers) NetServer.prototype.close.call(server);
    await this.#connections.drain();
    await this.#connections.whenEmpty(AbortSignal.timeout(drainMs));
    this.#connections.cut(cutMs);
    await this.#connections.whenEmpty(AbortSignal.timeout(2 * cutMs));
    for (const server of this.#servers) server.close(); // ends its timer
  }
}

async function openServer(
  address: { readonly host: string; readonly port: number },
  options: ListenerOptions,
  connections: Connections,
): Promise<Server> {
  const server = createServer({
    keepAlive: true,
    keepAliveInitialDelay: probeMs,
    keepAliveTimeout: keepAliveMs,
    headersTimeout: options.headersTimeoutMs ?? headersMs,
    connectionsCheckingInterval: options.checkIntervalMs ?? checkMs,
    requestTimeout: 0, // node's 300 s would end long transfers
    requireHostHeader: false, // answered by `v2/dispatch.ts`, as JSON
  });
  server.on('connection', (socket: Socket) => connections.accept(socket));
  server.on('request', (request, response) => connections.handle(request, response));
  server.on('checkContinue', (request, response) => connections.handle(request, response));
  const refused = new WeakSet<object>();
  server.on('clientError', (error: ParserError, socket: Socket) => {
    if (refused.has(socket)) return; // more of the same bytes while the answer is being sent
    refused.add(socket);
    options.logger.debug('the parser refused a request', { error });
    if (connections.unanswered(socket) > 0) {
      socket.destroy(); // an answer is being sent: nothing may be written into it
      return;
    }
    const status = answerParserError(error, socket);
    if (status !== undefined) options.onRefused?.(status);
  });
  try {
    await listen(server, address.host, address.port);
  } catch (error) {
    if (!isMissingIpv6(error, address.host)) throw error;
    options.logger.warn('no IPv6 on this machine, listening on IPv4 alone');
    await listen(server, '0.0.0.0', address.port);
  }
  return server;
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** `[::]` is the default: a kernel without IPv6 must not keep the mirror from starting. */
function isMissingIpv6(error: unknown, host: string): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return host === '::' && (code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL');
}

/** An address that a client on this machine can use. */
function formatUrl(address: AddressInfo | string | null): string {
  if (address === null || typeof address === 'string') throw new Error('expected a server that listens');
  const { family, port } = address;
  if (address.address === '::' || address.address === '0.0.0.0') return `http://localhost:${port}`;
  return `http://${family === 'IPv6' ? `[${address.address}]` : address.address}:${port}`;
}

/** Node's `clientError`, as far as it is used. */
interface ParserError extends Error {
  readonly code?: string;
  readonly rawPacket?: Buffer;
}

/** First byte of a TLS handshake record. */
const tlsHandshake = 0x16;

/**
 * Answers with the same JSON as other errors, and closes. A TLS hello on the plain port (podman tries one first) gets a
 * bare 400, which such clients take for "speaks no TLS". Returns the status; undefined when the connection was gone.
 */
function answerParserError(error: ParserError, socket: Socket): number | undefined {
  const isAnswerable = error.code?.startsWith('HPE_') === true || error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  if (!socket.writable || !isAnswerable) {
    socket.destroy();
    return undefined;
  }
  const refusal = error.rawPacket?.[0] === tlsHandshake ? undefined : refusalOf(error);
  const status = refusal?.status ?? 400;
  socket.write(formatResponse(status, refusal));
  closeWithFin(socket);
  return status;
}

function refusalOf({ code }: ParserError): RegistryError {
  const [status, message]: [number, string] =
    code === 'HPE_HEADER_OVERFLOW'
      ? [431, 'the request line or the headers are too long']
      : code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [408, 'the request did not arrive in time']
        : [400, 'this is not an HTTP/1.1 request'];
  return new RegistryError('UNSUPPORTED', { status, message });
}

function formatResponse(status: number, refusal: RegistryError | undefined): string {
  const body = refusal === undefined ? '' : JSON.stringify(refusal);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Docker-Distribution-API-Version: registry/2.0',
    ...(body === '' ? [] : ['Content-Type: application/json', 'Cache-Control: no-store']),
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}

/** How long a client has to close its side. */
const lingerMs = 2_000;

/**
 * Sends what is buffered and a FIN; a body that was being written stays visibly unfinished. A reset would make containerd
 * fail a pull, and could destroy an answer that is still on its way. What the client still sends is left unread.
 */
export function closeWithFin(socket: Socket, waitMs = lingerMs): void {
  if (socket.destroyed) return;
  socket.end();
  const timer = setTimeout(() => socket.destroy(), waitMs);
  timer.unref();
  socket.once('close', () => clearTimeout(timer));
}

export class Connections {
  readonly #listener: RequestListener;
  /** Count of unanswered requests by connection. */
  readonly #open = new Map<Socket, number>();
  #draining = false;
  #onEmpty: (() => void) | undefined;

  constructor(listener: RequestListener) {
    this.#listener = listener;
  }

  get count(): number {
    return this.#open.size;
  }

  /** For `connection` of every server. */
  accept(socket: Socket): void {
    this.#open.set(socket, 0);
    socket.once('close', () => {
      this.#open.delete(socket);
      if (this.#open.size === 0) this.#onEmpty?.();
    });
  }

  /** For `request` and `checkContinue`: a client gets `100 Continue` only when a route reads the body. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    this.#open.set(socket, this.unanswered(socket) + 1);
    if (this.#draining) response.setHeader('Connection', 'close');
    response.once('close', () => this.#answered(socket));
    if (response.socket !== null) {
      this.#listener(request, response);
      return;
    }
    // Pipelined: handled when Node gives it the connection. If that breaks before, the request is dropped.
    response.once('socket', () => process.nextTick(() => this.#listener(request, response)));
  }

  unanswered(socket: Socket): number {
    return this.#open.get(socket) ?? 0;
  }

  /**
   * From now on connections close as soon as they have nothing to answer. Requests that have reached this machine are
   * still answered: one turn of the event loop accepts, the next one reads.
   */
  async drain(): Promise<void> {
    this.#draining = true;
    await turn();
    await turn();
    for (const [socket, unanswered] of this.#open) {
      if (unanswered === 0) socket.destroy();
    }
  }

  /** Resolves when no connection is open, at the latest when the signal aborts. */
  whenEmpty(signal: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      if (this.#open.size === 0 || signal.aborted) resolve();
      this.#onEmpty = resolve;
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  /** Ends the answers that are still being sent: visibly unfinished, with a FIN. */
  cut(waitMs: number): void {
    for (const socket of this.#open.keys()) closeWithFin(socket, waitMs);
  }

  #answered(socket: Socket): void {
    const unanswered = this.#open.get(socket);
    if (unanswered === undefined) return; // the connection closed first
    this.#open.set(socket, unanswered - 1);
    if (this.#draining && unanswered === 1) socket.destroySoon();
  }
}
