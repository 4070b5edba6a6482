/**
 * Sends the bytes of blobs: one loop over `BlobReader.read` into a buffer that is used again once the socket has taken it, or over what is
 * in memory already. The headers go out with the first bytes, so a failure before is an ordinary error answer; later failures throw, and
 * `errors.ts` cuts the body. The reader is always closed.
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

/** Of what a held file's reader asks for. */
const keptBufferBytes = 512 * 1024;
const maxKeptBuffers = 8;
/** What is in memory costs the client no buffer. */
const maxPieceBytes = 512 * 1024;
/** More bodies fill each other's pauses; then a second buffer each costs more, in the processor's cache, than it gains. */
const maxBodiesReadAhead = 2;

/** Of one server, with the buffers that its bodies leave to the next ones: new ones for each body keep the garbage collector busy. */
export class BlobSender {
  readonly #kept: Buffer[] = [];
  #running = 0;

  /** Errors: those of the reader, of the socket, and a body that is shorter than announced. */
  async send(response: ServerResponse, body: BlobBody): Promise<void> {
    const { reader, signal } = body;
    // Closing rejects a read that waits for an upstream.
    const onAbort = () => void reader.close().catch(() => undefined);
    signal.addEventListener('abort', onAbort, { once: true });
    this.#running += 1;
    try {
      await this.#sendAll(response, body);
      response.end();
    } finally {
      this.#running -= 1;
      signal.removeEventListener('abort', onAbort);
      await reader.close();
    }
  }

  /** While a piece goes out, the next one is read into a second buffer. A slow client holds these two, and with other bodies mostly one. */
  async #sendAll(response: ServerResponse, body: BlobBody): Promise<void> {
    const { reader, start, signal } = body;
    const end = body.end ?? Number.POSITIVE_INFINITY;
    const takeBuffer = (): Buffer => this.#take(Math.max(1, Math.min(reader.preferredBytes, end - start)));
    const read = (into: Buffer, at: number): Promise<number> =>
      reader.read(end - at < into.length ? into.subarray(0, end - at) : into, at);
    let buffer: Buffer | undefined;
    let nextBuffer: Buffer | undefined;
    let nextCount: Promise<number> | undefined;
    const head = openHead(response, body);
    try {
      let at = start;
      while (at < end) {
        const pieceBytes = Math.min(maxPieceBytes, end - at);
        let chunk = reader.peek?.(at, pieceBytes);
        if (chunk === undefined && reader.arrival !== undefined) {
          await reader.arrival(at);
          chunk = reader.peek?.(at, pieceBytes);
        }
        if (chunk === undefined) {
          buffer ??= takeBuffer();
          const count = await (nextCount ?? read(buffer, at));
          chunk = count === buffer.length ? buffer : buffer.subarray(0, count);
        }
        nextCount = undefined;
        signal.throwIfAborted();
        if (chunk.length === 0) break;
        head.set();
        at += chunk.length;
        if (reader.peek === undefined && at < end && this.#running <= maxBodiesReadAhead) {
          nextBuffer ??= takeBuffer();
          nextCount = read(nextBuffer, at);
          nextCount.catch(() => undefined); // it is awaited when the piece before is out, if that can be sent
        }
        await write(response, chunk);
        body.onSent(chunk.length);
        if (nextCount !== undefined) [buffer, nextBuffer] = [nextBuffer, buffer];
      }
      if (body.end !== undefined && at !== end) {
        throw new Error(`expected a body from ${start} to ${end}, the reader ended at ${at}`);
      }
      this.#keep(buffer); // of a body that was cut the socket may still hold them
      this.#keep(nextBuffer);
      head.set();
    } finally {
      head.close();
    }
  }

  #take(bytes: number): Buffer {
    return (bytes === keptBufferBytes ? this.#kept.pop() : undefined) ?? Buffer.allocUnsafeSlow(bytes);
  }

  #keep(buffer: Buffer | undefined): void {
    if (buffer?.length === keptBufferBytes && this.#kept.length < maxKeptBuffers) this.#kept.push(buffer);
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
