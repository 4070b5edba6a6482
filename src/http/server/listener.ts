/**
 * One Node server per address over one set of connections. Starts on all addresses or on none; stops by draining: running
 * answers finish until the drain ends, then the rest is cut. The addresses stay open as long as an answer runs, so that a
 * load balancer can see `/readyz` change; other requests of that time are late, and the application refuses them.
 */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
} from 'node:http';
import { Server as TlsServer } from 'node:https';
import { type AddressInfo, Server as NetServer, type Socket } from 'node:net';
import type { Logger } from '../../telemetry/logger.ts';
import { type ConnectionIdentities, Connections } from './connections.ts';
import { answerParserError, type ParserError } from './refused-request.ts';
import { createTlsServer, type TlsOptions } from './tls-server.ts';

export interface ListenerAddress {
  readonly host: string;
  readonly port: number;
  /** Undefined: plain HTTP. */
  readonly tls?: TlsOptions | undefined;
  /** False: every caller is anonymous. */
  readonly takesLogins?: boolean;
}

export interface ListenerOptions {
  /** At least one. `host` is an IP address or a name; `port` 0 asks for a free one. */
  readonly addresses: readonly ListenerAddress[];
  /** Learns of connections what isn't usual: no logins, a client certificate. */
  readonly identities?: Pick<ConnectionIdentities, 'note'>;
  readonly handle: RequestListener;
  readonly logger: Logger;
  /** Called with the status that a refused request was answered with. */
  readonly onRefused?: (status: number) => void;
  /** Called before `handle` with each request that arrives during the drain. */
  readonly onLate?: (request: IncomingMessage) => void;
  /** Connections above it are closed at once. Absent: no limit. */
  readonly maxConnections?: number;
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
    this.urls = servers.map(server =>
      formatUrl(server instanceof TlsServer ? 'https' : 'http', server.address()),
    );
  }

  /** Errors: those of `listen` (EADDRINUSE, EACCES …), naming the address; nothing is left listening. */
  static async open(options: ListenerOptions): Promise<Listener> {
    const { handle, logger, maxConnections = Number.POSITIVE_INFINITY, onLate } = options;
    const full = new FullLog(logger);
    const connections = new Connections({
      handle,
      max: maxConnections,
      onRefused: () => full.refused(connections.count),
      ...(onLate !== undefined && { onLate }),
    });
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

  /** Another `maxConnections`; connections that are open stay. */
  limit(maxConnections: number): void {
    this.#connections.limit(maxConnections);
  }

  /** Idempotent. Resolves when every connection is closed. */
  close(options: { readonly drainMs: number }): Promise<void> {
    this.#closing ??= this.#close(options.drainMs);
    return this.#closing;
  }

  async #close(drainMs: number): Promise<void> {
    const drained = AbortSignal.timeout(drainMs);
    await this.#connections.drain();
    await this.#connections.whenIdle(drained);
    // Not the http server's own `close`: it destroys connections whose answer is written but not yet flushed.
    for (const server of this.#servers) NetServer.prototype.close.call(server);
    this.#connections.closeIdle();
    await this.#connections.whenEmpty(drained);
    this.#connections.cut(cutMs);
    await this.#connections.whenEmpty(AbortSignal.timeout(2 * cutMs));
    for (const server of this.#servers) server.close(); // ends its timer
  }
}

const fullLogMs = 60_000;

/** One line a minute while connections are refused. */
class FullLog {
  readonly #logger: Logger;
  #loggedAt = Number.NEGATIVE_INFINITY;
  #refused = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  refused(open: number): void {
    this.#refused += 1;
    const now = performance.now();
    if (now - this.#loggedAt < fullLogMs) return;
    this.#loggedAt = now;
    this.#logger.warn('too many connections, closing new ones', { open, refused: this.#refused });
  }
}

async function openServer(
  address: ListenerAddress,
  options: ListenerOptions,
  connections: Connections,
): Promise<Server> {
  const server = createHttpServer(address, options, connections, {
    keepAlive: true,
    keepAliveInitialDelay: probeMs,
    keepAliveTimeout: keepAliveMs,
    headersTimeout: options.headersTimeoutMs ?? headersMs,
    connectionsCheckingInterval: options.checkIntervalMs ?? checkMs,
    requestTimeout: 0, // node's 300 s would end long transfers
    requireHostHeader: false, // answered by `v2/dispatch.ts`, as JSON
  });
  connections.serve(server, address.tls === undefined ? 'tcp' : 'tls');
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

function createHttpServer(
  { tls, takesLogins = true }: ListenerAddress,
  { identities, logger, onRefused }: ListenerOptions,
  connections: Connections,
  http: ServerOptions,
): Server {
  const note = (socket: Socket, user: string | undefined) => {
    if (!takesLogins || user !== undefined)
      identities?.note(socket, { takesLogins, user: takesLogins ? user : undefined });
  };
  if (tls !== undefined) {
    const refuse = (status: number) => onRefused?.(status);
    return createTlsServer({ http, tls, connections, logger, onClient: note, onRefused: refuse });
  }
  const server = createServer(http);
  if (!takesLogins) server.on('connection', (socket: Socket) => note(socket, undefined));
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
function formatUrl(scheme: string, address: AddressInfo | string | null): string {
  if (address === null || typeof address === 'string') throw new Error('expected a server that listens');
  const { family, port } = address;
  if (address.address === '::' || address.address === '0.0.0.0') return `${scheme}://localhost:${port}`;
  return `${scheme}://${family === 'IPv6' ? `[${address.address}]` : address.address}:${port}`;
}
