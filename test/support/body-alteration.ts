/**
 * Faults that change which bytes a body has. Each gives again a content with a size, so that a body of 100 MB with one
 * wrong bit needs no memory either.
 */
import { type BlobContent, bytesBlob, patternBlob } from './content.ts';
import type { Fault } from './faults.ts';
import type { UpstreamAnswer } from './upstream-answer.ts';

/** The body as it goes out: bytes of the answer, from 0. */
export interface Body {
  readonly size: number;
  slice(start: number, end: number): Buffer;
}

export function bodyOf(answer: UpstreamAnswer, fault: Fault): Body {
  let body = partOf(answer, fault);
  if (fault.replaceWith !== undefined) body = bytesBlob(fault.replaceWith);
  if (fault.hugeBytes !== undefined) body = patternBlob('huge', fault.hugeBytes);
  if (fault.truncateTo !== undefined)
    body = { size: Math.min(fault.truncateTo, body.size), slice: body.slice.bind(body) };
  if (fault.extendBy !== undefined) body = extended(body, fault.extendBy);
  return body;
}

function partOf({ content, start, end }: UpstreamAnswer, { flipAt }: Fault): Body {
  if (content === undefined) return bytesBlob('');
  return {
    size: end - start,
    slice: (from, to) => {
      const bytes = content.slice(start + from, start + to);
      return flipAt === undefined ? bytes : flipped(bytes, flipAt - start - from);
    },
  };
}

function flipped(bytes: Buffer, at: number): Buffer {
  const byte = bytes[at];
  if (byte !== undefined) bytes[at] = byte ^ 1;
  return bytes;
}

function extended(body: Body, byBytes: number): Body {
  const tail: BlobContent = patternBlob('tail', byBytes);
  return {
    size: body.size + byBytes,
    slice: (start, end) =>
      Buffer.concat([
        body.slice(Math.min(start, body.size), Math.min(end, body.size)),
        tail.slice(Math.max(0, start - body.size), Math.max(0, end - body.size)),
      ]),
  };
}
