/**
 * What the tests of this room stand on: small servers on loopback with an exact list of what they were asked, a clock
 * that only moves when told, and an `UpstreamRegistry` wired to both.
 */
import { setMaxListeners } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import type { Timers } from '../../../src/lib/wait.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { ociManifest } from '../../../src/oci/media-type.ts';
import { parseRepository, parseTag } from '../../../src/oci/name.ts';
import type { Lookup } from '../../../src/upstream/transport/dial.ts';
import { type UpstreamOptions, UpstreamRegistry } from '../../../src/upstream/upstream-registry.ts';
import { Recorder } from '../../support/recorder.ts';

export const alpine = parseRepository('library/alpine');
export const busybox = parseRepository('library/busybox');
export const latest = parseTag('latest');
export const manifestBytes = Buffer.from(
  JSON.stringify({ schemaVersion: 2, mediaType: ociManifest, layers: [] }),
);
export const manifestDigest = digestOf(manifestBytes);
export const blobBytes = Buffer.from('0123456789'.repeat(100));
export const blobDigest = digestOf(blobBytes);
export const never = new AbortController().signal;
setMaxListeners(0, never); // one signal for all requests of a test is no leak
export const read = { signal: never };

export type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => void;

export interface Seen {
  readonly line: string;
  readonly headers: IncomingMessage['headers'];
}

export class LocalServer {
  readonly seen: Seen[] = [];
  /** Connections accepted so far. */
  connections = 0;
  readonly port: number;
  readonly scheme: string;

  constructor(port: number, scheme: string) {
    this.port = port;
    this.scheme = scheme;
  }

  /** `GET /v2/…`, in order of arrival. */
  get lines(): string[] {
    return this.seen.map(({ line }) => line);
  }

  urlAt(host = '127.0.0.1'): string {
    return `${this.scheme}://${host}:${this.port}`;
  }

  get url(): string {
    return this.urlAt();
  }

  async until(count: number): Promise<void> {
    while (this.seen.length < count) await turn();
  }
}

interface TlsOptions {
  readonly key: string;
  readonly cert: string;
  /** With `requestCert`: which client certificates are good. */
  readonly ca?: string;
  readonly requestCert?: boolean;
  readonly rejectUnauthorized?: boolean;
}

/** Listens for the running test. `count`: how many requests came before this one. */
export async function serve(handler: Handler, tls?: TlsOptions): Promise<LocalServer> {
  const sockets = new Set<Socket>();
  const listener: RequestListener = (request, response) => {
    local.seen.push({ line: `${request.method} ${request.url}`, headers: request.headers });
    handler(request, response, local.seen.length - 1);
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  server.keepAliveTimeout = 60_000;
  server.on('connection', (socket: Socket) => {
    local.connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const local = new LocalServer((server.address() as AddressInfo).port, tls === undefined ? 'http' : 'https');
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise(resolve => server.close(resolve));
  });
  return local;
}

/** A port on which nothing listens. */
export async function refusedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}

export function sendManifest(request: IncomingMessage, response: ServerResponse, headers = {}): void {
  response.writeHead(200, {
    'content-type': ociManifest,
    'content-length': manifestBytes.length,
    'docker-content-digest': manifestDigest,
    ...headers,
  });
  response.end(request.method === 'HEAD' ? undefined : manifestBytes);
}

export function sendJson(response: ServerResponse, body: unknown, status = 200, headers = {}): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': bytes.length,
    ...headers,
  });
  response.end(bytes);
}

export function sendBlob(request: IncomingMessage, response: ServerResponse): void {
  const match = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const first = Number(match?.[1] ?? 0);
  const end = match?.[2] ? Number(match[2]) + 1 : blobBytes.length;
  response.writeHead(match === null ? 200 : 206, {
    'content-length': end - first,
    ...(match === null ? {} : { 'content-range': `bytes ${first}-${end - 1}/${blobBytes.length}` }),
  });
  response.end(blobBytes.subarray(first, end));
}

/** Time that moves by `advance` only. */
export class ManualClock implements Timers {
  #now = Date.UTC(2026, 0, 1);
  #pending: { readonly atMs: number; readonly delayMs: number; readonly run: () => void }[] = [];

  readonly now = (): number => this.#now;

  after(delayMs: number, run: () => void): () => void {
    const entry = { atMs: this.#now + delayMs, delayMs, run };
    this.#pending.push(entry);
    return () => {
      this.#pending = this.#pending.filter(other => other !== entry);
    };
  }

  get delays(): number[] {
    return this.#pending.map(({ delayMs }) => delayMs);
  }

  advance(ms: number): void {
    const target = this.#now + ms;
    for (;;) {
      const [next] = this.#pending.filter(({ atMs }) => atMs <= target).sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#now = Math.max(this.#now, next.atMs);
      this.#pending = this.#pending.filter(other => other !== next);
      next.run();
    }
    this.#now = target;
  }

  /** Waits until a timer of that length runs, then lets that time pass. */
  async pass(delayMs: number): Promise<void> {
    while (!this.delays.includes(delayMs)) await turn();
    this.advance(delayMs);
  }
}

export interface Rig {
  readonly registry: UpstreamRegistry;
  readonly clock: ManualClock;
  readonly recorder: Recorder;
}

/** For the running test. */
export function connect(url: string, options: Partial<UpstreamOptions> = {}): Rig {
  const clock = new ManualClock();
  const recorder = new Recorder();
  const registry = new UpstreamRegistry({
    key: 'up',
    url: new URL(url),
    insecure: false,
    ip: 'any',
    tokenHosts: [],
    maxTransfers: 64,
    timeouts: { connectMs: 3000, firstByteMs: 8000 },
    userAgent: 'cistern/test',
    observer: recorder.observer,
    logger: recorder.logger,
    now: clock.now,
    timers: clock,
    ...options,
  });
  onTestFinished(() => registry.close());
  return { registry, clock, recorder };
}

/** Every name leads to 127.0.0.1; `names` keeps what was asked. */
export function toLoopback(names: string[] = []): Lookup {
  return async hostname => {
    names.push(hostname);
    return [{ address: '127.0.0.1', family: 4 }];
  };
}

/** What a failing call failed with, for exact comparison. */
export async function failureOf(work: Promise<unknown>): Promise<Record<string, unknown>> {
  const error: unknown = await work.then(
    () => new Error('expected a failure, got an answer'),
    (reason: unknown) => reason,
  );
  const { failure, upstreamStatus, code, retryAfterMs, message } = error as Record<string, unknown>;
  return { failure, upstreamStatus, code, retryAfterMs, message };
}

export async function collect(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
