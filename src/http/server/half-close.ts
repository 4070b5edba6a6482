/**
 * Ending a connection so that the client sees a FIN and not a reset: a reset makes containerd fail a pull, and it can
 * destroy an answer that is still on its way. Our side is closed first; what the client still sends is left unread for
 * a moment, until it closes too or the time is up.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** How long a client has to close its side. */
export const lingerMs = 2_000;

/** Sends what is buffered and a FIN. Whatever body was being written stays visibly unfinished. */
export function closeWithFin(socket: Socket, waitMs = lingerMs): void {
  if (socket.destroyed) return;
  socket.end();
  const timer = setTimeout(() => socket.destroy(), waitMs);
  timer.unref();
  socket.once('close', () => clearTimeout(timer));
}

/** Whether the request announced a body that nobody has read. */
export function hasUnreadBody(request: IncomingMessage): boolean {
  if (request.complete) return false;
  const length = request.headers['content-length'];
  return request.headers['transfer-encoding'] !== undefined || (length !== undefined && Number(length) > 0);
}

/**
 * Sends a whole answer to a request whose body is not wanted, then closes. The body is thrown away for a moment: closing
 * over unread bytes would reset the connection and lose the answer.
 */
export function answerUnread(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  response.setHeader('Connection', 'close');
  response.setHeader('Content-Length', body.length);
  response.write(body); // complete on the wire; `end` closes the connection and waits until the body is gone
  const finish = () => {
    clearTimeout(timer);
    response.end();
  };
  const timer = setTimeout(finish, lingerMs);
  request.once('close', finish).resume();
}
