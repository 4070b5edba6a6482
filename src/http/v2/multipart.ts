/**
 * Several ranges of one blob as one body (RFC 9110 14.6, `multipart/byteranges`), read like a blob: each part's framing, then
 * its bytes from a reader of the joined span that it lies in, so that many parts are few questions. The length is known before
 * anything is read.
 */
import { randomBytes } from 'node:crypto';
import { formatContentRange, type Span } from '../../oci/range.ts';
import type { BlobReader } from '../../registry/registry.ts';

export interface MultipartOptions {
  readonly spans: readonly Span[];
  /** Of the whole blob, in bytes. */
  readonly size: number;
  readonly contentType: string;
  /** What readers give: each of `spans` lies in one of them. */
  readonly joined: readonly Span[];
  /** Gives the bytes of the joined span that the first one lies in. */
  readonly first: BlobReader;
  /** A reader that gives the bytes of a joined span. Errors end the body. */
  open(joined: Span): Promise<BlobReader>;
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
  readonly #joined: readonly Span[];
  #current: OpenSpan;
  #closed = false;

  constructor(options: MultipartOptions) {
    const boundary = randomBytes(16).toString('hex');
    this.contentType = `multipart/byteranges; boundary=${boundary}`;
    this.#open = options.open;
    this.#joined = options.joined;
    const [first = { start: 0, end: 0 }] = options.spans;
    this.#current = { joined: this.#joinedOf(first), reader: options.first, at: first.start };
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
        this.#next();
        continue;
      }
      const count = await this.#readPiece(piece, into.subarray(0, Math.min(into.length, left)));
      if (count === 0) throw new Error(`the reader of a part ended ${left} bytes too early`);
      this.#done += count;
      return count;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#current.reader.close();
  }

  async #readPiece(piece: Piece, into: Buffer): Promise<number> {
    if ('bytes' in piece) return piece.bytes.copy(into, 0, this.#done);
    const at = piece.span.start + this.#done;
    const joined = this.#joinedOf(piece.span);
    // readers go forward: an earlier part of the same span needs a new one
    if (joined !== this.#current.joined || at < this.#current.at) await this.#change(joined);
    const count = await this.#current.reader.read(into, at);
    this.#current.at = at + count;
    return count;
  }

  async #change(joined: Span): Promise<void> {
    const before = this.#current.reader;
    const reader = await this.#open(joined);
    this.#current = { joined, reader, at: joined.start };
    await before.close();
    if (!this.#closed) return;
    await reader.close(); // closed while the span was being opened
    throw new Error('the reader is closed');
  }

  #joinedOf(span: Span): Span {
    const joined = this.#joined.find(({ start, end }) => start <= span.start && span.end <= end);
    if (joined === undefined) throw new Error(`no joined span has the bytes from ${span.start} on`);
    return joined;
  }

  #next(): void {
    this.#pieces.shift();
    this.#done = 0;
  }
}

interface OpenSpan {
  readonly joined: Span;
  readonly reader: BlobReader;
  /** Where the next read may begin. */
  at: number;
}

function lengthOf(piece: Piece): number {
  return 'bytes' in piece ? piece.bytes.length : piece.span.end - piece.span.start;
}
