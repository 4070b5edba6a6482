/**
 * A registry that is pushed to, on a real socket of 127.0.0.1, with an exact list of what it was asked and faults in its uploads. It
 * keeps what arrived of a body that broke off, as the specification allows and Cistern does.
 *
 *     const registry = await startPushRegistry({ cutAt: [1_000_000, 2_000_000] });     // closed after the test
 *     … push …
 *     expect(registry.lines).toEqual(['HEAD blob', 'POST uploads', …]);
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';

export interface PushRegistryOptions {
  /** The connection is reset when an upload has that many bytes in all; each once. */
  readonly cutAt?: readonly number[];
  /** A body above that is 413, as a proxy answers. */
  readonly maxBody?: number;
  /** Sessions that answer 404 from their nth request on: `{ 1: 2 }` loses the first one at its second request. */
  readonly loseSessionAt?: number;
  /** Requests need that header; others get this challenge. */
  readonly login?: { readonly challenge: string; accepts(authorization: string | undefined): boolean };
  /** `Location` is a whole URL, as of a registry that doesn't know that a proxy speaks TLS for it. */
  readonly absolute?: string;
  readonly minChunk?: number;
}

export async function startPushRegistry(options: PushRegistryOptions = {}): Promise<PushRegistry> {
  const registry = new PushRegistry(options);
  await registry.listen();
  onTestFinished(() => registry.close());
  return registry;
}

export class PushRegistry {
  /** `PATCH 0-99`, `GET session`, `PUT manifest 1`; refused ones with their status in front. */
  readonly lines: string[] = [];
  readonly blobs = new Map<string, Buffer>();
  /** By tag and digest. */
  readonly manifests = new Map<string, { readonly type: string; readonly bytes: Buffer }>();
  /** Of all bodies of uploads. */
  receivedBytes = 0;
  readonly #options: PushRegistryOptions;
  readonly #server: Server;
  readonly #sessions = new Map<string, { bytes: Buffer; requests: number }>();
  readonly #cutAt: number[];
  #started = 0;
  #isLost = false;

  constructor(options: PushRegistryOptions) {
    this.#options = options;
    this.#cutAt = [...(options.cutAt ?? [])];
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(() => request.socket.destroy());
    });
  }

  async listen(): Promise<void> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve));
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise(resolve => this.#server.close(resolve));
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', headers } = request;
    const url = new URL(request.url ?? '', 'http://registry');
    const { login, maxBody = Number.POSITIVE_INFINITY } = this.#options;
    const end = (status: number, more: Record<string, string> = {}, code?: string) => {
      response.writeHead(status, more);
      response.end(code === undefined ? '' : JSON.stringify({ errors: [{ code, message: `said ${code}` }] }));
    };
    const path = /^\/v2\/(.+)\/(manifests|blobs)\/(uploads\/)?([^/]*)$/.exec(url.pathname);
    const [, , kind, uploads, last = ''] = path ?? [];
    const range = headers['content-range'];
    const length = Number(headers['content-length'] ?? 0);
    const what =
      kind === 'manifests'
        ? `manifest ${last}`
        : uploads === undefined
          ? 'blob'
          : last === ''
            ? 'uploads'
            : 'session';
    const line = `${method} ${method === 'PATCH' ? range : what}`;
    if (login !== undefined && !login.accepts(headers.authorization)) {
      this.lines.push(`401 ${line}`);
      request.resume();
      return end(401, { 'www-authenticate': login.challenge });
    }
    if (length > maxBody) {
      this.lines.push(`413 ${line}`);
      await collect(request); // nginx takes the body too, so that the client gets to read the answer
      return end(413);
    }
    this.lines.push(line);
    if (kind === 'manifests' && method === 'PUT') {
      const bytes = await collect(request);
      const digest = digestOf(bytes);
      for (const name of [last, digest])
        this.manifests.set(name, { type: headers['content-type'] ?? '', bytes });
      return end(201, { 'docker-content-digest': digest });
    }
    if (what === 'blob') return end(this.blobs.has(last) ? 200 : 404);
    if (what === 'uploads') return end(202, this.#place(this.#start()));
    const session = this.#sessions.get(last);
    if (session !== undefined) session.requests += 1;
    const isLost = !this.#isLost && session?.requests === this.#options.loseSessionAt;
    if (session === undefined || isLost) {
      this.#isLost ||= isLost;
      this.#sessions.delete(last);
      request.resume();
      return end(404, {}, 'BLOB_UPLOAD_UNKNOWN');
    }
    if (method === 'DELETE') {
      this.#sessions.delete(last);
      return end(204);
    }
    if (method === 'GET') return end(204, this.#place(last));
    if (range !== undefined && Number(range.split('-')[0]) !== session.bytes.length) {
      request.resume();
      return end(416, this.#place(last));
    }
    for await (const chunk of request) {
      const [cut] = this.#cutAt;
      const room = cut === undefined ? Number.POSITIVE_INFINITY : cut - session.bytes.length;
      const part: Buffer = chunk.subarray(0, room);
      session.bytes = Buffer.concat([session.bytes, part]);
      this.receivedBytes += part.length;
      if (cut !== undefined && session.bytes.length >= cut) {
        this.#cutAt.shift();
        return void request.socket.resetAndDestroy();
      }
    }
    if (method === 'PATCH') return end(202, this.#place(last));
    const digest = url.searchParams.get('digest') ?? '';
    this.#sessions.delete(last);
    if (digestOf(session.bytes) !== digest) return end(400, {}, 'DIGEST_INVALID');
    this.blobs.set(digest, session.bytes);
    return end(201);
  }

  #start(): string {
    this.#started += 1;
    this.#sessions.set(`s${this.#started}`, { bytes: Buffer.alloc(0), requests: 0 });
    return `s${this.#started}`;
  }

  #place(id: string): Record<string, string> {
    const { absolute, minChunk } = this.#options;
    const size = this.#sessions.get(id)?.bytes.length ?? 0;
    return {
      location: `${absolute === undefined ? '' : `${absolute}://${this.host}`}/v2/team/app/blobs/uploads/${id}?state=x%2Fy`,
      range: `0-${Math.max(0, size - 1)}`,
      ...(minChunk !== undefined && { 'oci-chunk-min-length': String(minChunk) }),
    };
  }
}

async function collect(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}
