/**
 * A blob body on its way: which bytes the answer's headers promise, and the stream that holds them to it. Neither more
 * nor fewer bytes than promised pass as a good end; whether they are the right ones is for the reader to verify.
 */
import { type ByteRange, type ContentRange, parseContentRange } from '../../oci/range.ts';
import { type Body, type HopAnswer, headerOf } from '../transport/transport.ts';

/** Half-open. */
export interface Extent {
  readonly start: number;
  /** Undefined: until the body ends. */
  readonly end: number | undefined;
  /** Of the whole blob. */
  readonly size: number | undefined;
}

const lengthPattern = /^\d{1,15}$/;

export function lengthOf(answer: Pick<HopAnswer, 'headers'>): number | undefined {
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
  const length = lengthOf(answer);
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

export interface StreamOptions {
  readonly extent: Extent;
  onBytes(count: number): void;
  /** Turns what the connection failed with into what the reader gets. */
  explain(error: unknown): unknown;
}

/** Network chunks. Errors: what `explain` makes of a cut, of missing and of surplus bytes. Leaving early ends the transfer. */
export async function* streamBody(body: Body, options: StreamOptions): AsyncGenerator<Buffer, void, void> {
  const { start, end } = options.extent;
  let at = start;
  try {
    for await (const chunk of body) {
      if (!Buffer.isBuffer(chunk))
        throw new TypeError(`expected bytes from the network, got ${typeof chunk}`);
      at += chunk.length;
      if (end !== undefined && at > end) throw new Error(`expected ${end - start} bytes, got more`);
      options.onBytes(chunk.length);
      yield chunk;
    }
    if (end !== undefined && at < end) throw new Error(`expected ${end - start} bytes, got ${at - start}`);
  } catch (error) {
    throw options.explain(error);
  }
}
