/**
 * A real forward proxy on 127.0.0.1: tunnels (CONNECT) and requests with a whole URL, an exact list of both, Basic
 * credentials, and a cut in the middle of what it forwards. It resolves names by itself: all of them are 127.0.0.1.
 *
 *     const proxy = await startProxy({ credentials: 'user:secret' });     // closed after the test
 *     expect(proxy.lines).toEqual(['CONNECT registry.test:443']);
 */
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import type { Certificate } from './certificates.ts';

export interface ProxyOptions {
  /** `user:password`; a client without them gets 407. */
  readonly credentials?: string;
  readonly certificate?: Certificate;
  /** Status of the answer to every CONNECT, instead of a tunnel. */
  readonly refuseTunnels?: number;
}

export async function startProxy(options: ProxyOptions = {}): Promise<TestProxy> {
  const proxy = new TestProxy(options);
  await proxy.listen();
  onTestFinished(() => proxy.close());
  return proxy;
}

export class TestProxy {
  /** `CONNECT host:port`, `GET http://host/path`, in order of arrival; refused ones with `407 ` in front. */
  readonly lines: string[] = [];
  /** Of each forwarded request or tunnel, names in lower case. */
  readonly headers: IncomingMessage['headers'][] = [];
  readonly #options: ProxyOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #cutAfter: number | undefined;

  constructor(options: ProxyOptions) {
    this.#options = options;
    const { certificate } = options;
    this.#server =
      certificate === undefined
        ? createServer()
        : createTlsServer({ key: certificate.key, cert: certificate.cert });
    this.#server.on('connection', (socket: Socket) => this.#own(socket));
    this.#server.on('request', (incoming, response) => this.#forward(incoming, response));
    this.#server.on('connect', (incoming: IncomingMessage, socket: Socket, head: Buffer) =>
      this.#tunnel(incoming, socket, head),
    );
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** `user` such as `name:password`, as in a configuration. */
  url(user = ''): string {
    const scheme = this.#options.certificate === undefined ? 'http' : 'https';
    return `${scheme}://${user === '' ? '' : `${user}@`}127.0.0.1:${this.port}`;
  }

  /** The next body of a forwarded request that is longer ends after so many bytes, by a reset. */
  cutNextAfter(bytes: number): void {
    this.#cutAfter = bytes;
  }

  async listen(): Promise<void> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve));
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise(resolve => this.#server.close(resolve));
  }

  #own(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined); // the peer left: the test looks at what it got
    socket.on('close', () => this.#sockets.delete(socket));
  }

  #isAdmitted(incoming: IncomingMessage, line: string): boolean {
    const { credentials } = this.#options;
    const expected =
      credentials === undefined ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`;
    const admitted = expected === undefined || incoming.headers['proxy-authorization'] === expected;
    this.lines.push(admitted ? line : `407 ${line}`);
    if (admitted) this.headers.push(incoming.headers);
    return admitted;
  }

  #forward(incoming: IncomingMessage, response: ServerResponse): void {
    const target = new URL(incoming.url ?? '');
    if (!this.#isAdmitted(incoming, `${incoming.method} ${target.href}`)) {
      response.writeHead(407, { 'proxy-authenticate': 'Basic', 'content-length': 0 }).end();
      return;
    }
    const { 'proxy-authorization': _own, ...headers } = incoming.headers;
    const path = target.pathname + target.search;
    const { method } = incoming;
    const outgoing = request(
      { host: '127.0.0.1', port: target.port, method, path, headers, agent: false },
      answer => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        const cutAfter = Number(answer.headers['content-length'] ?? 0) > (this.#cutAfter ?? Infinity);
        if (cutAfter) this.#sendUntil(this.#cutAfter ?? 0, answer, response);
        else answer.pipe(response);
      },
    );
    outgoing.on('error', () => (response.headersSent ? response.destroy() : response.writeHead(502).end()));
    response.on('close', () => outgoing.destroy());
    incoming.pipe(outgoing);
  }

  #sendUntil(limit: number, answer: IncomingMessage, response: ServerResponse): void {
    this.#cutAfter = undefined;
    let sent = 0;
    answer.on('data', (chunk: Buffer) => {
      const part = chunk.subarray(0, limit - sent);
      sent += part.length;
      if (part.length > 0) response.write(part, () => sent >= limit && response.socket?.destroy());
    });
  }

  #tunnel(incoming: IncomingMessage, socket: Socket, head: Buffer): void {
    this.#own(socket);
    if (!this.#isAdmitted(incoming, `CONNECT ${incoming.url}`)) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n');
      return;
    }
    if (this.#options.refuseTunnels !== undefined) {
      socket.end(`HTTP/1.1 ${this.#options.refuseTunnels} No\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    const port = Number(/:(\d+)$/.exec(incoming.url ?? '')?.[1]);
    const outgoing = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      if (head.length > 0) outgoing.write(head);
      outgoing.pipe(socket).pipe(outgoing);
    });
    this.#own(outgoing);
    outgoing.on('error', () => socket.destroy());
    socket.on('close', () => outgoing.destroy());
  }
}
