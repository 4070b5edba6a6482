/**
 * Bodies that are read whole (manifests, tokens, lists, error texts), and bodies that are not read. All are bounded: an
 * upstream cannot fill the memory of this process.
 */
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate } from 'node:zlib';
import { systemTimers } from '../../lib/wait.ts';
import { parseErrorBody } from '../../oci/error.ts';
import { type HopAnswer, headerOf } from './transport.ts';
import type { Body } from './undici-parts.ts';

/** A shorter body is read to its end, so that its connection can be used again; a longer one costs the connection. */
const drainBytes = 64 * 1024;
const drainMs = 5000;

type Decode = (bytes: Buffer, options: { readonly maxOutputLength: number }) => Promise<Buffer>;

const decoders: Readonly<Record<string, Decode>> = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
};

/** The body was longer than allowed; its connection is gone. */
export class BodyTooLarge extends Error {
  override readonly name = 'BodyTooLarge';

  constructor(maxBytes: number) {
    super(`the body is longer than ${maxBytes} bytes`);
  }
}

/** Errors: `BodyTooLarge`; what the connection fails with, or the reason of the signal its request was sent with. */
export async function readBody(answer: HopAnswer, maxBytes: number): Promise<Buffer> {
  const { body } = answer;
  if (Number(headerOf(answer.headers, 'content-length') ?? 0) > maxBytes) {
    body.destroy();
    throw new BodyTooLarge(maxBytes);
  }
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    if (!Buffer.isBuffer(chunk)) throw new TypeError(`the network gave a ${typeof chunk} instead of bytes`);
    length += chunk.length;
    if (length > maxBytes) throw new BodyTooLarge(maxBytes); // leaving the loop destroys the body
    chunks.push(chunk);
  }
  return decoded(answer, Buffer.concat(chunks, length), maxBytes);
}

/** Decoded where the answer says that it is compressed, although `identity` was asked, and it really is; otherwise as it came. */
async function decoded(answer: HopAnswer, bytes: Buffer, maxBytes: number): Promise<Buffer> {
  const decode = decoders[encodingOf(answer) ?? ''];
  if (decode === undefined) return bytes;
  try {
    return await decode(bytes, { maxOutputLength: maxBytes });
  } catch (error) {
    if (error instanceof RangeError) throw new BodyTooLarge(maxBytes);
    return bytes; // it says so of bytes that aren't
  }
}

/** The `Content-Encoding` of an answer; undefined: none. */
export function encodingOf(answer: Pick<HopAnswer, 'headers'>): string | undefined {
  const encoding = (headerOf(answer.headers, 'content-encoding') ?? '').trim().toLowerCase();
  return encoding === '' || encoding === 'identity' ? undefined : encoding;
}

/** Discards a body without waiting for it. One that doesn't end soon costs its connection too. */
export function drain(body: Body): void {
  if (body.closed) return;
  const withdraw = systemTimers.after(drainMs, () => body.destroy());
  body.once('close', withdraw);
  body.dump({ limit: drainBytes }).catch(() => undefined); // only the headers counted
}

/** What the upstream says about its refusal, for messages: `: CODE text`, or nothing. URLs lose their queries. */
export async function readComplaint(answer: HopAnswer): Promise<string> {
  try {
    const said = parseErrorBody(await readBody(answer, drainBytes));
    return said === undefined ? '' : `: ${withoutQueries(`${said.code} ${said.message}`.trim())}`;
  } catch {
    return ''; // the status is what counts; a body that can't be read adds nothing to it
  }
}

function withoutQueries(text: string): string {
  return text.replace(/\?[^\s"'<>]+/g, '?…');
}
