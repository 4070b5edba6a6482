/**
 * The open connections of all listeners, and how many requests are unanswered on each. One request at a time is worked on
 * per connection, so a client that pipelines cannot make the mirror hold a buffer per request. Draining closes idle
 * connections at once and the others after their last answer.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
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
