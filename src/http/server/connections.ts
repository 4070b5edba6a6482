/**
 * The open connections of all listeners, and what is unanswered on each. One request at a time is worked on per
 * connection: a client that pipelines can't make the mirror hold a buffer per request. Draining closes idle connections
 * at once and the others behind their last answer.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { closeWithFin } from './half-close.ts';

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

  /** For `request` and `checkContinue`: nobody is invited to send a body before the request was looked at. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    this.#open.set(socket, this.unanswered(socket) + 1);
    if (this.#draining) response.setHeader('Connection', 'close');
    response.once('close', () => this.#answered(socket));
    if (response.socket !== null) {
      this.#listener(request, response);
      return;
    }
    // Pipelined: its turn comes when node gives it the connection. If that breaks before, it is dropped unheard.
    response.once('socket', () => process.nextTick(() => this.#listener(request, response)));
  }

  unanswered(socket: Socket): number {
    return this.#open.get(socket) ?? 0;
  }

  /**
   * From now on connections close as soon as they have nothing to answer. Requests that have reached this machine are
   * still heard: one turn of the event loop accepts, the next one reads.
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

  /** Ends what is still being sent: visibly unfinished, with a FIN. */
  cut(waitMs: number): void {
    for (const socket of this.#open.keys()) closeWithFin(socket, waitMs);
  }

  #answered(socket: Socket): void {
    const unanswered = this.#open.get(socket);
    if (unanswered === undefined) return; // the connection went first
    this.#open.set(socket, unanswered - 1);
    if (this.#draining && unanswered === 1) socket.destroySoon();
  }
}
