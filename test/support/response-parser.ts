/**
 * Reads one HTTP/1.1 response from raw bytes: status line, header fields, and a body by Content-Length, by chunks or until
 * the end of the connection (RFC 9112 6.3). It knows whether a body has ended by itself, which libraries hide.
 */
export interface ResponseHead {
  readonly status: number;
  /** Names in lower case; repeated fields joined by ", ". */
  readonly headers: ReadonlyMap<string, string>;
  /** The bytes up to and with the empty line. */
  readonly raw: string;
}

export interface ParserEvents {
  onHead(head: ResponseHead): void;
  onBody(bytes: Buffer): void;
  /** The body has come to its own end. */
  onComplete(): void;
}

type State = 'head' | 'fixed' | 'until-close' | 'chunk-size' | 'chunk' | 'chunk-end' | 'trailer' | 'complete';

const maxLineBytes = 256 * 1024;

export class ResponseParser {
  readonly #events: ParserEvents;
  readonly #method: string;
  #state: State = 'head';
  /** Not yet understood: only ever a head or a line, never body bytes. */
  #pending: Buffer = Buffer.alloc(0);
  #remaining = 0;

  /** The method decides whether a body follows (HEAD: none). */
  constructor(method: string, events: ParserEvents) {
    this.#method = method;
    this.#events = events;
  }

  /** Bytes that came after the complete response. */
  surplusBytes = 0;

  push(bytes: Buffer): void {
    let rest = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    this.#pending = Buffer.alloc(0);
    while (rest.length > 0) {
      const used = this.#step(rest);
      if (used === 0) {
        if (rest.length > maxLineBytes)
          throw new Error('expected a header or chunk line, got more than 256 KiB');
        this.#pending = Buffer.from(rest);
        return;
      }
      rest = rest.subarray(used);
    }
  }

  /** The connection has ended in order. */
  end(): void {
    if (this.#state === 'until-close') this.#complete();
  }

  /** How many bytes were understood; 0: more are needed. */
  #step(bytes: Buffer): number {
    switch (this.#state) {
      case 'head':
        return this.#readHead(bytes);
      case 'fixed':
      case 'chunk':
        return this.#readBody(bytes);
      case 'until-close':
        this.#events.onBody(bytes);
        return bytes.length;
      case 'complete':
        this.surplusBytes += bytes.length;
        return bytes.length;
      default:
        return this.#readLine(bytes);
    }
  }

  #readHead(bytes: Buffer): number {
    const end = bytes.indexOf('\r\n\r\n');
    if (end < 0) return 0;
    const raw = bytes.toString('latin1', 0, end + 4);
    const [statusLine = '', ...fields] = raw.split('\r\n').slice(0, -2);
    const status = Number(/^HTTP\/1\.[01] (\d{3})( |$)/.exec(statusLine)?.[1]);
    if (Number.isNaN(status))
      throw new Error(`expected an HTTP/1.1 status line, got ${JSON.stringify(statusLine)}`);
    const headers = new Map<string, string>();
    for (const field of fields) {
      const name = field.slice(0, field.indexOf(':')).toLowerCase();
      const value = field.slice(field.indexOf(':') + 1).trim();
      const before = headers.get(name);
      headers.set(name, before === undefined ? value : `${before}, ${value}`);
    }
    if (status >= 100 && status < 200) return end + 4;
    this.#events.onHead({ status, headers, raw });
    this.#chooseBody(status, headers);
    return end + 4;
  }

  #chooseBody(status: number, headers: ReadonlyMap<string, string>): void {
    const length = headers.get('content-length');
    if (this.#method === 'HEAD' || status === 204 || status === 304) {
      this.#complete();
    } else if (headers.get('transfer-encoding')?.toLowerCase().endsWith('chunked') === true) {
      this.#state = 'chunk-size';
    } else if (length === undefined) {
      this.#state = 'until-close';
    } else {
      this.#remaining = Number(length);
      this.#state = 'fixed';
      if (this.#remaining === 0) this.#complete();
    }
  }

  #readBody(bytes: Buffer): number {
    const part = bytes.subarray(0, this.#remaining);
    this.#remaining -= part.length;
    this.#events.onBody(part);
    if (this.#remaining === 0) {
      if (this.#state === 'fixed') this.#complete();
      else this.#state = 'chunk-end';
    }
    return part.length;
  }

  #readLine(bytes: Buffer): number {
    const end = bytes.indexOf('\r\n');
    if (end < 0) return 0;
    const line = bytes.toString('latin1', 0, end);
    if (this.#state === 'chunk-size') {
      this.#remaining = Number.parseInt(line, 16);
      if (Number.isNaN(this.#remaining))
        throw new Error(`expected a chunk size, got ${JSON.stringify(line)}`);
      this.#state = this.#remaining === 0 ? 'trailer' : 'chunk';
    } else if (this.#state === 'chunk-end') {
      this.#state = 'chunk-size';
    } else if (line === '') {
      this.#complete();
    }
    return end + 2;
  }

  #complete(): void {
    this.#state = 'complete';
    this.#events.onComplete();
  }
}
