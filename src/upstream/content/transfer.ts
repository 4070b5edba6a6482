/**
 * A blob body on its way: which bytes the answer's headers promise, the stream that gives no more and no fewer of them,
 * and the answer of the contract that is read from it. Nothing is kept; the bytes are not verified here.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { RegistryError } from '../../oci/error.ts';
import { type ByteRange, type ContentRange, parseContentRange, resolveRange } from '../../oci/range.ts';
import type { BlobAnswer, BlobReader, OpenedSource } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import { encodingOf } from '../transport/body.ts';
import { type HopAnswer, headerOf } from '../transport/transport.ts';

/** Half-open: offsets in the blob, in bytes. */
export interface Extent {
  readonly start: number;
  /** Undefined: until the body ends. */
  readonly end: number | undefined;
  /** Of the whole blob. */
  readonly size: number | undefined;
}

export interface OpenedTransfer extends OpenedSource {
  /** One past the last byte that the stream gives; undefined: until it ends. */
  readonly end: number | undefined;
  /** The source gave the range (206), not the whole. */
  readonly isPartial: boolean;
}

/** The source has no such bytes (416); `size` of the whole, if it said so. */
export class UnsatisfiableRange extends UpstreamError {
  constructor(upstream: string, message: string, size: number | undefined) {
    const known = size === undefined ? {} : { size };
    super({ upstream, kind: 'blob', failure: 'range', message, upstreamStatus: 416, ...known });
  }
}

const lengthPattern = /^\d{1,15}$/;

/** Undefined: not said, or said of the compressed form. */
export function lengthOf(answer: Pick<HopAnswer, 'headers'>): number | undefined {
  return encodingOf(answer) === undefined ? sentLength(answer) : undefined;
}

/** Of the bytes as they are sent, compressed or not. */
export function sentLength(answer: Pick<HopAnswer, 'headers'>): number | undefined {
  const text = headerOf(answer.headers, 'content-length') ?? '';
  return lengthPattern.test(text) ? Number(text) : undefined;
}

/**
 * What a 200 or 206 promises (RFC 9110 15.3.7). A 200 to a range means the whole. Undefined: the headers contradict each
 * other, or give another range than the one asked for.
 */
export function extentOf(
  answer: Pick<HopAnswer, 'status' | 'headers'>,
  asked: ByteRange | undefined,
): Extent | undefined {
  const length = sentLength(answer);
  if (answer.status !== 206) return { start: 0, end: length, size: length };
  const range = parseContentRange(headerOf(answer.headers, 'content-range'));
  if (range === undefined || !isAsked(range, asked)) return undefined;
  if (length !== undefined && length !== range.end - range.start) return undefined;
  return { start: range.start, end: range.end, size: range.size };
}

function isAsked(range: ContentRange, asked: ByteRange | undefined): boolean {
  if (asked === undefined) return range.start === 0 && range.end === range.size;
  if ('suffix' in asked)
    return range.size !== undefined && range.start === Math.max(0, range.size - asked.suffix);
  return range.start === asked.first && (asked.last === undefined || range.end <= asked.last + 1);
}

/**
 * So large a chunk comes from an upstream that has more to give: in one turn of the event loop some of it comes, and each step after this one
 * costs much the same for a small chunk and a large one.
 */
const fastChunkBytes = 32 * 1024;

export interface StreamOptions {
  readonly extent: Extent;
  onBytes(count: number): void;
  /** Turns what the connection failed with into what the reader gets. */
  explain(error: unknown): unknown;
}

/** Network chunks, and what came meanwhile together. Errors: what `explain` makes of a cut, of missing and of surplus bytes. Leaving early ends the transfer. */
export async function* streamBody(
  body: AsyncIterable<unknown>,
  options: StreamOptions,
): AsyncGenerator<Buffer, void, void> {
  const { start, end } = options.extent;
  let at = start;
  try {
    for await (const chunk of body) {
      if (!Buffer.isBuffer(chunk)) throw new TypeError(`the network gave a ${typeof chunk} instead of bytes`);
      at += chunk.length;
      if (end !== undefined && at > end) throw new Error(`the body is longer than its ${end - start} bytes`);
      options.onBytes(chunk.length);
      yield chunk;
      if (chunk.length >= fastChunkBytes) await nextTurn();
    }
    if (end !== undefined && at < end)
      throw new Error(`the body ended after ${at - start} of ${end - start} bytes`);
  } catch (error) {
    throw options.explain(error);
  }
}

/**
 * A transfer as an answer of the contract: the range that was asked for, cut out of what the upstream gave. `open` gets a
 * signal that ends with the caller's and when the reader is closed.
 * Errors: RANGE_INVALID (detail `size`); what `open` throws.
 */
export async function answerBlob(
  range: ByteRange | undefined,
  signal: AbortSignal,
  open: (signal: AbortSignal) => Promise<OpenedTransfer>,
): Promise<BlobAnswer> {
  const cut = new AbortController();
  try {
    const opened = await open(AbortSignal.any([cut.signal, signal]));
    const { size } = opened;
    const isCut = range !== undefined && !opened.isPartial && size !== undefined;
    const span = isCut ? resolveRange(range, size) : opened;
    if (span === undefined) throw createRangeInvalid(size, undefined);
    const reader = new TransferReader(opened, span.end, reason => cut.abort(reason));
    // a whole blob of unknown length can't be cut: it is given as it is
    const partial = isCut || (range !== undefined && opened.isPartial);
    return { outcome: 'passthrough', size, start: span.start, end: span.end, partial, reader };
  } catch (error) {
    cut.abort(error);
    throw error instanceof UnsatisfiableRange ? createRangeInvalid(error.size, error) : error;
  }
}

/** OCI distribution-spec end-2, RFC 9110 15.5.17. */
function createRangeInvalid(size: number | undefined, cause: unknown): RegistryError {
  return new RegistryError('RANGE_INVALID', { detail: size === undefined ? {} : { size }, cause });
}

const closed = new Error('the reader is closed');

/** Forward only. Bytes before the wanted one (a source that ignored the range) are read and dropped. */
class TransferReader implements BlobReader {
  readonly preferredBytes = 64 * 1024;
  readonly #chunks: AsyncIterator<Buffer>;
  /** One past the last byte to give. */
  readonly #end: number | undefined;
  readonly #abort: (reason: unknown) => void;
  /** Offset of the first byte of `#chunk`. */
  #position: number;
  #chunk: Buffer = Buffer.alloc(0);
  #isClosed = false;

  constructor(opened: OpenedSource, end: number | undefined, abort: (reason: unknown) => void) {
    this.#chunks = opened.stream[Symbol.asyncIterator]();
    this.#position = opened.start;
    this.#end = end;
    this.#abort = abort;
  }

  async read(into: Buffer, at: number): Promise<number> {
    if (this.#isClosed) throw closed;
    if (at < this.#position) throw new RangeError(`reads go forward: ${at} is before ${this.#position}`);
    const wanted = Math.min(into.length, (this.#end ?? Number.MAX_SAFE_INTEGER) - at);
    if (wanted <= 0) return 0;
    while (this.#position + this.#chunk.length <= at) {
      this.#position += this.#chunk.length;
      const next = await this.#chunks.next();
      if (next.done === true) {
        this.#chunk = Buffer.alloc(0);
        return 0;
      }
      this.#chunk = next.value;
    }
    const count = this.#chunk.copy(into, 0, at - this.#position, at - this.#position + wanted);
    this.#chunk = this.#chunk.subarray(at - this.#position + count);
    this.#position = at + count;
    return count;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#abort(closed); // rejects a read that waits; `return` alone would wait for it
    await this.#chunks.return?.().catch(() => undefined); // it ends with the reason just given
  }
}
