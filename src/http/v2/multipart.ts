/**
 * Several ranges of one blob as one body (RFC 9110 14.6, `multipart/byteranges`), read like a blob: each part's framing, then
 * its bytes from its own reader, opened when the part before it ends. The length is known before anything is read.
 */
import { randomBytes } from 'node:crypto';
import { formatContentRange, type Span } from '../../oci/range.ts';
import type { BlobReader } from '../../registry/registry.ts';

export interface MultipartOptions {
  readonly spans: readonly Span[];
  /** Of the whole blob, in bytes. */
  readonly size: number;
  readonly contentType: string;
  /** Gives the first span's bytes. */
  readonly first: BlobReader;
  /** A reader that gives the bytes of a later span. Errors end the body. */
  open(span: Span): Promise<BlobReader>;
}

/** Framing, or the bytes of a span. */
type Piece = { readonly bytes: Buffer } | { readonly span: Span };

export class MultipartReader implements BlobReader {
  readonly preferredBytes = 64 * 1024;
  readonly contentType: string;
  /** Of the whole body, in bytes. */
  readonly length: number;
  readonly #open: MultipartOptions['open'];
  readonly #pieces: Piece[];
  /** How much of the first piece has been read. */
  #done = 0;
  #reader: BlobReader | undefined;
  #closed = false;

  constructor(options: MultipartOptions) {
    const boundary = randomBytes(16).toString('hex');
    this.contentType = `multipart/byteranges; boundary=${boundary}`;
    this.#open = options.open;
    this.#reader = options.first;
    this.#pieces = options.spans.flatMap((span, index): Piece[] => {
      const range = formatContentRange(span, options.size);
      const type = `Content-Type: ${options.contentType}\r\nContent-Range: ${range}\r\n\r\n`;
      return [{ bytes: Buffer.from(`${index === 0 ? '' : '\r\n'}--${boundary}\r\n${type}`) }, { span }];
    });
    this.#pieces.push({ bytes: Buffer.from(`\r\n--${boundary}--\r\n`) });
    this.length = this.#pieces.reduce((sum, piece) => sum + lengthOf(piece), 0);
  }

  /** Reads in order: the offset is ignored. */
  async read(into: Buffer): Promise<number> {
    for (;;) {
      if (this.#closed) throw new Error('the reader is closed');
      const piece = this.#pieces[0];
      if (piece === undefined) return 0;
      const left = lengthOf(piece) - this.#done;
      if (left === 0) {
        await this.#next();
        continue;
      }
      const count = await this.#readPiece(piece, into.subarray(0, Math.min(into.length, left)));
      if (count === 0) throw new Error(`expected ${left} more bytes of a part, its reader ended`);
      this.#done += count;
      return count;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#reader?.close();
  }

  async #readPiece(piece: Piece, into: Buffer): Promise<number> {
    if ('bytes' in piece) return piece.bytes.copy(into, 0, this.#done);
    this.#reader ??= await this.#open(piece.span);
    if (this.#closed) {
      await this.#reader.close(); // closed while the part was being opened
      throw new Error('the reader is closed');
    }
    return this.#reader.read(into, piece.span.start + this.#done);
  }

  async #next(): Promise<void> {
    const piece = this.#pieces.shift();
    this.#done = 0;
    if (piece === undefined || 'bytes' in piece) return;
    const reader = this.#reader;
    this.#reader = undefined;
    await reader?.close();
  }
}

function lengthOf(piece: Piece): number {
  return 'bytes' in piece ? piece.bytes.length : piece.span.end - piece.span.start;
}
