/**
 * The body of a request: read within limits, or refused unread. Reading is what invites a client that waits for
 * `100 Continue`, so a request that is refused before its body is read never gets one.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { RegistryError } from '../../oci/error.ts';

export interface BodyLimits {
  /** Undefined: no limit. `error` is what a larger body is refused with. */
  readonly max?: { readonly bytes: number; error(): RegistryError };
  /** How long the client may send nothing. The time that the reader of the body takes doesn't count. Milliseconds. */
  readonly idleMs: number;
  /** Ends the reading, whatever the client does. */
  readonly signal?: AbortSignal;
}

/** Of a body, while its reader is busy. Chunks go on to the reader as they are: a paused stream would join them by a copy. */
const maxHeldBytes = 512 * 1024;

/**
 * The chunks of a body. A reader that leaves early leaves the connection open: the answer still gets out.
 * Errors: that of `max`, before anything is read if `Content-Length` exceeds it; UNSUPPORTED (408) when the client falls
 * silent; Error when the connection ends within the body; the signal's reason.
 */
export async function* readBody(
  request: IncomingMessage,
  response: ServerResponse,
  { max, idleMs, signal }: BodyLimits,
): AsyncGenerator<Buffer, void> {
  if (max !== undefined && Number(request.headers['content-length'] ?? 0) > max.bytes) throw max.error();
  if (waitsForContinue(request)) response.writeContinue();
  const chunks: Buffer[] = [];
  let held = 0;
  let wake = (): void => {};
  let isIdle = false;
  const onChange = (): void => wake();
  const onData = (chunk: Buffer): void => {
    chunks.push(chunk);
    held += chunk.length;
    if (held >= maxHeldBytes) request.pause();
    wake();
  };
  const timer = setTimeout(() => {
    isIdle = true;
    wake();
  }, idleMs);
  request.on('data', onData).on('end', onChange).on('close', onChange);
  signal?.addEventListener('abort', onChange);
  try {
    for (let bytes = 0; ; ) {
      signal?.throwIfAborted();
      const chunk = chunks.shift();
      if (chunk !== undefined) {
        held -= chunk.length;
        bytes += chunk.length;
        if (max !== undefined && bytes > max.bytes) throw max.error();
        yield chunk;
        continue;
      }
      if (request.readableEnded) return;
      if (request.destroyed) throw new Error('the connection ended within the request body');
      isIdle = false;
      timer.refresh();
      const changed = new Promise<void>(resolve => {
        wake = resolve;
      });
      request.resume();
      await changed;
      if (isIdle) {
        throw new RegistryError('UNSUPPORTED', {
          status: 408,
          message: 'the request body did not arrive in time',
        });
      }
    }
  } finally {
    clearTimeout(timer);
    request.off('data', onData).off('end', onChange).off('close', onChange).pause();
    signal?.removeEventListener('abort', onChange);
  }
}

/** A body as one piece. Errors: as `readBody`. */
export async function readWholeBody(
  request: IncomingMessage,
  response: ServerResponse,
  limits: BodyLimits,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of readBody(request, response, limits)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** As Node decides between `request` and `checkContinue`. */
function waitsForContinue({ headers, httpVersion }: IncomingMessage): boolean {
  return httpVersion === '1.1' && /(?:^|\W)100-continue(?:$|\W)/i.test(headers.expect ?? '');
}

/** The request announced a body, and not all of it was read. */
export function hasUnreadBody(request: IncomingMessage): boolean {
  if (request.complete) return false;
  const length = request.headers['content-length'];
  return request.headers['transfer-encoding'] !== undefined || (length !== undefined && Number(length) > 0);
}

/** How long the body of an answered request is thrown away. */
const discardMs = 2_000;

/**
 * Sends a whole answer to a request whose body is not wanted, then closes. The body is thrown away for a moment: closing
 * over unread bytes would reset the connection, and the client would lose the answer.
 */
export function answerUnread(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  response.setHeader('Connection', 'close');
  response.setHeader('Content-Length', body.length);
  response.write(body); // complete on the wire; `end` closes the connection and waits until the body is gone
  const finish = () => {
    clearTimeout(timer);
    response.end();
  };
  const timer = setTimeout(finish, discardMs);
  request.once('close', finish).resume();
}
