/**
 * The listening side: one node server per address over one set of connections. Starts on all addresses or on none;
 * stops by draining: no new connections, running answers finish until the time is up, what is left is cut.
 */
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, Server as NetServer, type Socket } from 'node:net';
import type { Logger } from '../../telemetry/logger.ts';
import { answerClientError, type ParserError } from './client-error.ts';
import { Connections } from './connections.ts';

export interface ListenerOptions {
  /** At least one. `host` is an IP address or a name; `port` 0 asks for a free one. */
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
  readonly handle: RequestListener;
  readonly logger: Logger;
  /** A request that the parser refused was answered with this status. */
  readonly onRefused?: (status: number) => void;
  /** Until the headers of a request must be complete. Milliseconds. */
  readonly headersTimeoutMs?: number;
  /** How often that is looked at. Milliseconds. */
  readonly checkIntervalMs?: number;
}

/** Longer than the 60 s of common proxies, so that it is they who close an idle connection. */
const keepAliveMs = 75_000;
const headersMs = 60_000;
const checkMs = 10_000;
/** A client that vanished without a word is found by the kernel. */
const probeMs = 60_000;
/** Given to clients to take the FIN when the drain is over. */
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
    requireHostHeader: false, // answered by `pull.ts`, as JSON
  });
  server.on('connection', (socket: Socket) => connections.accept(socket));
  server.on('request', (request, response) => connections.handle(request, response));
  server.on('checkContinue', (request, response) => connections.handle(request, response));
  const refused = new WeakSet<object>();
  server.on('clientError', (error: ParserError, socket: Socket) => {
    if (refused.has(socket)) return; // more of the same bytes, while the answer is on its way
    refused.add(socket);
    options.logger.debug('the parser refused a request', { error });
    if (connections.unanswered(socket) > 0) {
      socket.destroy(); // an answer is under way: nothing may be written into it
      return;
    }
    const status = answerClientError(error, socket);
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
