/**
 * A raw client of uploads. `open` sends the head of a request and then what the test writes, when it writes it; interim answers
 * (`100 Continue`) are told apart from the answer.
 *
 *     const session = await startUpload(mirror.url, 'team/app');
 *     const patch = open(mirror.url, 'PATCH', session.location, { 'Content-Length': '10' });
 *     patch.write(bytes); const { status } = await patch.done;
 */
import { connect, type Socket } from 'node:net';
import type { Digest } from '../../src/oci/digest.ts';
import { type CallResult, request } from './client.ts';
import type { BlobContent } from './content.ts';
import { deferred } from './gates.ts';
import { type ResponseHead, ResponseParser } from './response-parser.ts';

export interface OpenAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export class OpenRequest {
  /** Rejects when the connection ends without an answer. */
  readonly done: Promise<OpenAnswer>;
  /** Resolves when the connection has ended. */
  readonly closed: Promise<void>;
  readonly socket: Socket;
  /** Statuses of interim answers. */
  readonly interim: number[] = [];
  readonly #interim = deferred();

  constructor(origin: string, method: string, path: string, headers: Readonly<Record<string, string>>) {
    const url = new URL(origin);
    const answer = deferred<OpenAnswer>();
    const closed = deferred();
    this.done = answer.promise;
    this.done.catch(() => {});
    this.closed = closed.promise;
    this.socket = connect({ host: url.hostname, port: Number(url.port) });
    const body: Buffer[] = [];
    let head: ResponseHead | undefined;
    const parser = new ResponseParser(method, {
      onHead: found => {
        head = found;
      },
      onBody: bytes => body.push(Buffer.from(bytes)),
      onComplete: () => {
        if (head !== undefined) answer.resolve({ ...head, body: Buffer.concat(body).toString() });
      },
    });
    this.socket.on('data', bytes => parser.push(this.#withoutInterim(bytes)));
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      answer.reject(new Error('the connection ended without an answer'));
      closed.resolve();
    });
    const lines = Object.entries({ Host: url.host, Connection: 'close', ...headers });
    this.socket.write(
      `${[`${method} ${path} HTTP/1.1`, ...lines.map(([name, value]) => `${name}: ${value}`)].join('\r\n')}\r\n\r\n`,
    );
  }

  /** Resolves at the first interim answer. */
  get continued(): Promise<void> {
    return this.#interim.promise;
  }

  write(bytes: Buffer | string): void {
    this.socket.write(bytes);
  }

  /** One chunk of a streamed body. */
  writeChunk(bytes: Buffer): void {
    this.socket.write(`${bytes.length.toString(16)}\r\n`);
    this.socket.write(bytes);
    this.socket.write('\r\n');
  }

  endChunks(): void {
    this.socket.write('0\r\n\r\n');
  }

  /** The client is gone. */
  leave(): void {
    this.socket.destroy();
  }

  #withoutInterim(bytes: Buffer): Buffer {
    const match = /^HTTP\/1\.1 (1\d\d) [^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n/.exec(bytes.toString('latin1'));
    if (match === null) return bytes;
    this.interim.push(Number(match[1]));
    this.#interim.resolve();
    return bytes.subarray(match[0].length);
  }
}

export function open(
  origin: string,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): OpenRequest {
  return new OpenRequest(origin, method, path, headers);
}

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

export function send(
  origin: string,
  method: string,
  path: string,
  { headers = {}, body }: CallOptions = {},
): Promise<CallResult> {
  const length = body === undefined && method !== 'GET' ? { 'Content-Length': '0' } : {};
  return request(origin, { method, path, headers: { ...length, ...headers }, ...(body && { body }) }).done;
}

/** Rejects when no session is started. */
export async function startUpload(
  origin: string,
  name: string,
  {
    query = '',
    headers = {},
  }: { readonly query?: string; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<{ readonly location: string; readonly id: string }> {
  const answer = await send(origin, 'POST', `/v2/${name}/blobs/uploads/${query}`, { headers });
  const location = answer.headers.get('location');
  if (answer.status !== 202 || location === undefined)
    throw new Error(`expected a session, got ${answer.status} ${answer.body.toString()}`);
  return { location, id: answer.headers.get('docker-upload-uuid') ?? '' };
}

export function finish(
  origin: string,
  location: string,
  digest: Digest,
  options: CallOptions = {},
): Promise<CallResult> {
  return send(origin, 'PUT', `${location}?digest=${digest}`, options);
}

/** As dockerd does it: POST, one PATCH with all bytes, PUT. Resolves with the status of the last answer. */
export async function pushBlob(origin: string, name: string, blob: BlobContent): Promise<number> {
  const { location } = await startUpload(origin, name);
  const { status } = await send(origin, 'PATCH', location, { body: blob.slice(0, blob.size) });
  return status === 202 ? (await finish(origin, location, blob.digest)).status : status;
}
