/**
 * Sends the bytes of one blob: one loop over `BlobReader.read` into one buffer, reused once the socket has taken it, or over
 * what is in memory already: a slow client holds one buffer or one such piece. The headers go out with the first bytes, so a failure before is an ordinary error answer;
 * later failures throw, and `errors.ts` cuts the body. The reader is always closed.
 */
import type { ServerResponse } from 'node:http';
import type { BlobReader } from '../../registry/registry.ts';

export interface BlobBody {
  readonly reader: BlobReader;
  /** Bytes `start` … `end - 1`; `end` undefined: until the reader's end. */
  readonly start: number;
  readonly end: number | undefined;
  readonly signal: AbortSignal;
  /** Sets status and headers; called once. */
  readonly setHead: () => void;
  /**
   * Send the headers alone after this long, because clients wait longer for a body than for headers; undefined: wait for
   * the first bytes. Milliseconds.
   */
  readonly headPatienceMs: number | undefined;
  /** Called with the bytes of each write that the socket took. */
  readonly onSent: (bytes: number) => void;
}

/** Errors: those of the reader, of the socket, and a body that is shorter than announced. */
export async function sendBlob(response: ServerResponse, body: BlobBody): Promise<void> {
  const { reader, signal } = body;
  // Closing rejects a read that waits for an upstream.
  const onAbort = () => void reader.close().catch(() => undefined);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await sendAll(response, body);
    response.end();
  } finally {
    signal.removeEventListener('abort', onAbort);
    await reader.close();
  }
}

async function sendAll(response: ServerResponse, body: BlobBody): Promise<void> {
  const { reader, start, signal } = body;
  const end = body.end ?? Number.POSITIVE_INFINITY;
  const bufferBytes = Math.max(1, Math.min(reader.preferredBytes, end - start));
  let buffer: Buffer | undefined;
  const head = openHead(response, body);
  try {
    let at = start;
    while (at < end) {
      const room = Math.min(bufferBytes, end - at);
      let chunk = reader.peek?.(at, room);
      if (chunk === undefined) {
        buffer ??= Buffer.allocUnsafeSlow(bufferBytes);
        const count = await reader.read(room < buffer.length ? buffer.subarray(0, room) : buffer, at);
        chunk = count === buffer.length ? buffer : buffer.subarray(0, count);
      }
      signal.throwIfAborted();
      if (chunk.length === 0) break;
      head.set();
      at += chunk.length;
      await write(response, chunk);
      body.onSent(chunk.length);
    }
    if (body.end !== undefined && at !== end) {
      throw new Error(`expected a body from ${start} to ${end}, the reader ended at ${at}`);
    }
    head.set();
  } finally {
    head.close();
  }
}

/** The headers, set once: with the first byte, or alone after `headPatienceMs`. */
function openHead(response: ServerResponse, { setHead, headPatienceMs }: BlobBody) {
  let isSet = false;
  const set = (): void => {
    if (!isSet) setHead();
    isSet = true;
  };
  const goAlone = (): void => {
    if (response.destroyed) return;
    try {
      set();
      response.flushHeaders();
    } catch (error) {
      response.destroy(error instanceof Error ? error : undefined); // a timer has no caller to throw to
    }
  };
  const timer = headPatienceMs === undefined ? undefined : setTimeout(goAlone, headPatienceMs);
  return { set, close: () => clearTimeout(timer) };
}

/** Resolves when the kernel has taken the chunk, so that its memory can be reused. */
function write(response: ServerResponse, chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    if (response.destroyed) {
      reject(new Error('the connection is closed')); // Node would emit an error that has no listener
      return;
    }
    response.write(chunk, error => (error ? reject(error) : resolve()));
  });
}
