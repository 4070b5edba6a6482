/**
 * The open connections of one listener and their unanswered requests. Requests that a client sends ahead (pipelining) are
 * handled one per turn of the event loop, and above 16 unanswered ones a connection is read no further, so that no client
 * keeps the others waiting. While draining, new requests are late: they don't prolong the drain.
 */
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';

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

export interface ConnectionsOptions {
  readonly handle: RequestListener;
  /** Connections above it are closed at once. */
  readonly max: number;
  /** Gets each connection that is closed for that reason. */
  onRefused?(socket: Socket): void;
  /** Called before `handle` with each request that arrives during the drain. */
  onLate?(request: IncomingMessage): void;
}

/** Counts of one connection's requests. */
interface Unanswered {
  all: number;
  /** Those from before the drain. */
  running: number;
}

/** A client that has sent more than this ahead waits in its own socket buffer. */
const maxUnanswered = 16;

export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #open = new Map<Socket, Unanswered>();
  #max: number;
  /** Of all open connections: requests from before the drain. */
  #running = 0;
  #draining = false;
  #refusing = false;
  #onEmpty: (() => void) | undefined;
  #onIdle: (() => void) | undefined;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    this.#max = options.max;
  }

  get count(): number {
    return this.#open.size;
  }

  /** Holds for connections from now on. */
  limit(max: number): void {
    this.#max = max;
  }

  /** Of a server over TLS the connections are accepted before their handshake, by `accept`. */
  serve(server: Server, over: 'tcp' | 'tls' = 'tcp'): void {
    if (over === 'tcp') server.on('connection', (socket: Socket) => this.accept(socket));
    // A client gets `100 Continue` only when a route reads the body.
    for (const event of ['request', 'checkContinue'])
      server.on(event, (request, response) => this.handle(request, response));
  }

  /** False: there are too many, and the socket is destroyed. */
  accept(socket: Socket): boolean {
    if (this.#open.size >= this.#max) {
      this.#options.onRefused?.(socket);
      socket.destroy();
      return false;
    }
    this.#hold(socket);
    return true;
  }

  /** After the handshake of TLS: `secure` stands for the connection from now on. Requests come from it alone. */
  replace(raw: Socket, secure: Socket): void {
    if (!this.#open.delete(raw)) return;
    this.#hold(secure);
    if (this.#draining) secure.destroy();
  }

  #hold(socket: Socket): void {
    const unanswered = { all: 0, running: 0 };
    this.#open.set(socket, unanswered);
    // Node resumes a connection when it is done with a request.
    socket.on('resume', () => {
      if (this.unanswered(socket) > maxUnanswered) socket.pause();
    });
    socket.once('close', () => {
      if (!this.#open.delete(socket)) return; // of TLS: replaced after the handshake
      this.#ended(unanswered.running); // requests that wait for their turn get no event of their own
      if (this.#open.size === 0) this.#onEmpty?.();
    });
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    if (this.#draining) response.setHeader('Connection', 'close');
    const isLate = this.#refusing;
    if (isLate) this.#options.onLate?.(request);
    this.#began(socket, isLate);
    response.once('close', () => this.#answered(socket, isLate));
    if (response.socket !== null) {
      this.#options.handle(request, response);
      return;
    }
    // Pipelined: handled after Node gives it the connection, in a later turn, so that others are heard in between.
    response.once('socket', () =>
      setImmediate(() => {
        if (!response.destroyed) this.#options.handle(request, response);
      }),
    );
  }

  unanswered(socket: Socket): number {
    return this.#open.get(socket)?.all ?? 0;
  }

  /**
   * From now on connections close as soon as they have nothing to answer. Requests that have reached this machine are
   * still answered: one turn of the event loop accepts, the next one reads. Later ones are late.
   */
  async drain(): Promise<void> {
    this.#draining = true;
    await turn();
    await turn();
    this.#refusing = true;
    this.closeIdle();
  }

  /** Closes the connections that have nothing to answer. */
  closeIdle(): void {
    for (const [socket, unanswered] of this.#open) {
      if (unanswered.all === 0 && !socket.writableEnded) socket.destroy();
    }
  }

  /** Resolves when every request from before the drain is answered, at the latest when the signal aborts. */
  whenIdle(signal: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      if (this.#running === 0 || signal.aborted) resolve();
      this.#onIdle = resolve;
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
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

  #began(socket: Socket, isLate: boolean): void {
    const unanswered = this.#open.get(socket);
    if (unanswered === undefined) return;
    unanswered.all += 1;
    if (unanswered.all > maxUnanswered) socket.pause();
    if (isLate) return;
    unanswered.running += 1;
    this.#running += 1;
  }

  #answered(socket: Socket, isLate: boolean): void {
    const unanswered = this.#open.get(socket);
    if (unanswered === undefined) return; // the connection closed first
    unanswered.all -= 1;
    if (unanswered.all === maxUnanswered) socket.resume();
    if (this.#draining && unanswered.all === 0) socket.destroySoon();
    if (isLate) return;
    unanswered.running -= 1;
    this.#ended(1);
  }

  #ended(count: number): void {
    this.#running -= count;
    if (this.#running === 0) this.#onIdle?.();
  }
}

/** What a connection says of its client, before any request. Known from the handshake on, for all its requests. */
export interface ConnectionIdentity {
  /** False: the listener has `login: off`, so every caller is anonymous. */
  readonly takesLogins: boolean;
  /** The CN of a certificate that `client_ca` signed. Undefined: the client showed none. */
  readonly user: string | undefined;
}

const plain: ConnectionIdentity = { takesLogins: true, user: undefined };

export class ConnectionIdentities {
  readonly #bySocket = new WeakMap<Socket, ConnectionIdentity>();

  note(socket: Socket, identity: ConnectionIdentity): void {
    this.#bySocket.set(socket, identity);
  }

  of({ socket }: Pick<IncomingMessage, 'socket'>): ConnectionIdentity {
    return this.#bySocket.get(socket) ?? plain;
  }
}
