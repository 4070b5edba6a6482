/**
 * A raw HTTP/1.1 client for tests: it sends exactly the bytes it is told, sees status, header fields and body bytes, and
 * how the body ended: complete, cut by FIN, or reset. One connection for each request. Bodies are hashed as they come;
 * with `keep: false` nothing of them is kept, so fifty clients on 100 MB cost little memory.
 *
 *     const { status, bytes, sha256, end } = await get(mirror.url, '/v2/library/alpine/blobs/sha256:…');
 *     const call = request(mirror.url, { path, paused: true });  // reads nothing until call.resume()
 *     await call.firstByte; await call.atLeast(1000); const result = await call.done;
 */
import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type Deferred, deferred } from './gates.ts';
import { type ResponseHead, ResponseParser } from './response-parser.ts';

const closeGraceMs = 1000;

export interface CallOptions {
  readonly method?: string;
  /** Raw request target; may be absolute-form or anything else. */
  readonly path?: string;
  /** Host and `Connection: close` are sent unless given here; undefined leaves them out. */
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body?: Buffer | string;
  /** The whole request as it goes on the wire, instead of all of the above. */
  readonly raw?: Buffer | string;
  /** Keep the body's bytes. Default true. */
  readonly keep?: boolean;
  /** Don't read from the socket before `resume()`. Of http origins only. */
  readonly paused?: boolean;
  /** PEM text, for an https origin. */
  readonly ca?: string;
  /** The client's own address, such as `127.0.0.2`, of http origins only. */
  readonly from?: string;
}

/** `complete`: by its length or last chunk. `fin-early`: FIN before that. `reset`: RST, or we left. */
export type BodyEnd = 'complete' | 'fin-early' | 'reset';

export interface CallResult {
  /** 0 when the connection ended before a status line. */
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  /** Empty with `keep: false`. */
  readonly body: Buffer;
  /** Length of the body that came. */
  readonly bytes: number;
  /** Of the body that came, as a digest `sha256:…`. */
  readonly sha256: string;
  readonly end: BodyEnd;
  /** Bytes after the end of the response, which should not be. */
  readonly surplusBytes: number;
}

export class Call {
  /** Rejects when the connection ends before the header fields. */
  readonly head: Promise<ResponseHead>;
  /** The first byte of the body. Rejects when there is none. */
  readonly firstByte: Promise<void>;
  /** Never rejects for what the server does; see `end`. Rejects when no connection could be made. */
  readonly done: Promise<CallResult>;
  readonly #socket: Socket;
  readonly #options: CallOptions;
  readonly #parser: ResponseParser;
  readonly #hash = createHash('sha256');
  readonly #kept: Buffer[] = [];
  readonly #head = deferred<ResponseHead>();
  readonly #done = deferred<CallResult>();
  readonly #waiters = new Map<Deferred<void>, number>();
  #response: ResponseHead | undefined;
  #bytes = 0;
  #connected = false;
  #complete = false;
  #end: BodyEnd | undefined;

  /** `origin` such as `http://127.0.0.1:5000`; its path is not used. */
  constructor(origin: string, options: CallOptions) {
    const url = new URL(origin);
    this.#options = options;
    this.head = this.#head.promise;
    this.done = this.#done.promise;
    this.firstByte = this.atLeast(1);
    for (const promise of [this.head, this.done]) promise.catch(() => {});
    this.#parser = new ResponseParser(options.method ?? 'GET', {
      onHead: head => {
        this.#response = head;
        this.#head.resolve(head);
      },
      onBody: bytes => this.#onBody(bytes),
      onComplete: () => this.#onComplete(),
    });
    this.#socket = this.#connect(url);
    this.#socket.write(options.raw ?? requestBytes(url, options));
  }

  /** Bytes of the body that have come so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The body so far. */
  get text(): string {
    return Buffer.concat(this.#kept).toString('utf8');
  }

  /** Resolves when so many bytes of the body have come; rejects when it ends before. */
  atLeast(bytes: number): Promise<void> {
    if (this.#bytes >= bytes) return Promise.resolve();
    const waiter = deferred();
    waiter.promise.catch(() => {});
    if (this.#end !== undefined) waiter.reject(this.#tooShort(bytes));
    else this.#waiters.set(waiter, bytes);
    return waiter.promise;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** The client leaves: by RST, or with `fin` by closing in order. */
  abort(by: 'fin' | 'reset' = 'reset'): void {
    if (by === 'reset' && !('encrypted' in this.#socket)) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  #connect(url: URL): Socket {
    const where = { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port) };
    const socket =
      url.protocol === 'https:'
        ? connectTls({ ...where, ca: this.#options.ca })
        : connect({
            ...where,
            ...(this.#options.from !== undefined && { localAddress: this.#options.from }),
          });
    // Before the first listener for data, which would start the reading.
    if (this.#options.paused === true) socket.pause();
    socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
      this.#connected = true;
    });
    socket.on('data', bytes => this.#onData(bytes));
    socket.on('end', () => {
      this.#parser.end();
      this.#finish(this.#complete ? 'complete' : 'fin-early');
    });
    socket.on('error', error => {
      if (this.#connected) this.#finish(this.#complete ? 'complete' : 'reset');
      else this.#fail(error);
    });
    socket.on('close', () => this.#finish(this.#complete ? 'complete' : 'reset'));
    return socket;
  }

  #onData(bytes: Buffer): void {
    try {
      this.#parser.push(bytes);
    } catch (error) {
      this.#socket.destroy();
      this.#fail(error);
    }
  }

  #onBody(bytes: Buffer): void {
    this.#bytes += bytes.length;
    this.#hash.update(bytes);
    if (this.#options.keep !== false) this.#kept.push(Buffer.from(bytes));
    for (const [waiter, wanted] of this.#waiters) {
      if (this.#bytes < wanted) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }

  /** The server is given a moment to close, as asked by `Connection: close`, and to send what it should not. */
  #onComplete(): void {
    this.#complete = true;
    const timer = setTimeout(() => this.#socket.destroy(), closeGraceMs);
    this.#socket.once('close', () => clearTimeout(timer));
  }

  #finish(end: BodyEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#head.reject(new Error(`expected a response, got an end of the connection (${end})`));
    for (const [waiter, wanted] of this.#waiters) waiter.reject(this.#tooShort(wanted));
    this.#done.resolve({
      status: this.#response?.status ?? 0,
      headers: this.#response?.headers ?? new Map(),
      body: Buffer.concat(this.#kept),
      bytes: this.#bytes,
      sha256: `sha256:${this.#hash.digest('hex')}`,
      end,
      surplusBytes: this.#parser.surplusBytes,
    });
    this.#socket.destroy();
  }

  #fail(error: unknown): void {
    this.#end ??= 'reset';
    this.#head.reject(error);
    for (const waiter of this.#waiters.keys()) waiter.reject(error);
    this.#done.reject(error);
  }

  #tooShort(wanted: number): Error {
    return new Error(`expected at least ${wanted} body bytes, got ${this.#bytes} and then ${this.#end}`);
  }
}

/** Starts a request; see `Call` for what can be watched. */
export function request(origin: string, options: CallOptions = {}): Call {
  return new Call(origin, options);
}

export function get(origin: string, path: string, options: CallOptions = {}): Promise<CallResult> {
  return request(origin, { ...options, path }).done;
}

export function head(origin: string, path: string, options: CallOptions = {}): Promise<CallResult> {
  return request(origin, { ...options, path, method: 'HEAD' }).done;
}

/** So many clients at once on one path; nothing of the bodies is kept. */
export function requestMany(count: number, origin: string, options: CallOptions = {}): Call[] {
  return Array.from({ length: count }, () => request(origin, { keep: false, ...options }));
}

function requestBytes(url: URL, { method = 'GET', path = '/', headers = {}, body }: CallOptions): Buffer {
  const length = body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body)) };
  const given = new Set(Object.keys(headers).map(name => name.toLowerCase()));
  const defaults = Object.entries({ Host: url.host, Connection: 'close', ...length });
  const fields = [...defaults.filter(([name]) => !given.has(name.toLowerCase())), ...Object.entries(headers)];
  const lines = fields.flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map(one => `${name}: ${one}`),
  );
  const head = Buffer.from(`${[`${method} ${path} HTTP/1.1`, ...lines].join('\r\n')}\r\n\r\n`, 'latin1');
  return Buffer.concat([head, Buffer.from(body ?? '')]);
}
