/**
 * One hop: a request to one host and the headers of its answer. Blob bodies have connections of their own
 * (`maxTransfers` per host), so that they never keep a manifest or a token waiting. Nothing is decoded, followed,
 * retried or timed here except the connection attempt; every hop that was dialled is reported to the observer.
 */
import type { Dispatcher } from 'undici';
import { waitFor } from '../../lib/wait.ts';
import type { Kind, Observer } from '../../telemetry/observer.ts';
import { ConnectionPool, type ConnectionPoolOptions } from './connection-pool.ts';
import { checkWrittenHost, DialRefusal, type ReusedErrors } from './dial.ts';
import { RoundTrip } from './round-trip.ts';
import { errors } from './undici-parts.ts';

export type Method = 'GET' | 'HEAD';

export interface TransportOptions extends ConnectionPoolOptions {
  readonly key: string;
  readonly maxTransfers: number;
  readonly userAgent: string;
  readonly observer: Observer;
}

export interface Hop {
  readonly url: URL;
  readonly method: Method;
  readonly kind: Kind;
  readonly headers: Readonly<Record<string, string>>;
  /** Which connections: short questions, or bodies that may run for minutes. */
  readonly lane: 'control' | 'transfer';
  /** Ends the wait for headers, and afterwards the body. */
  readonly signal: AbortSignal;
}

export type Body = Dispatcher.ResponseData['body'];
export type Headers = Readonly<Record<string, string | string[] | undefined>>;

export interface HopAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Headers;
  /** The caller reads or drains it. */
  readonly body: Body;
}

/** No answer, or a body that broke off: refused, reset, DNS, TLS, a connection attempt that took too long. */
export class TransportError extends Error {
  /** The connection had served other requests: the server may just have ended it, asking again is in order. */
  readonly reused: boolean;

  constructor(error: unknown, reused: boolean) {
    super(describe(error));
    this.name = 'TransportError';
    this.reused = reused;
  }
}

/** Enough for a farm of nodes that ask for their tags in the same second. */
const controlConnections = 64;
const transferBufferBytes = 256 * 1024;

export class Transport {
  readonly #options: TransportOptions;
  readonly #control: ConnectionPool;
  readonly #transfer: ConnectionPool;
  readonly #reused: ReusedErrors = new WeakSet();
  readonly roundTrip = new RoundTrip();
  #closing: Promise<void> | undefined;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#control = new ConnectionPool(options, controlConnections, this.#reused);
    this.#transfer = new ConnectionPool(options, options.maxTransfers, this.#reused);
  }

  /** Errors: `TransportError`, `DialRefusal`, the signal's reason. */
  async send(hop: Hop): Promise<HopAnswer> {
    hop.signal.throwIfAborted();
    const { observer, key, userAgent } = this.#options;
    const { dispatcher, isProxied } = (hop.lane === 'transfer' ? this.#transfer : this.#control).to(hop.url);
    if (isProxied) checkWrittenHost(hop.url, this.#options.url);
    try {
      const sentAt = performance.now();
      const sent = dispatcher.request({
        origin: hop.url.origin,
        path: hop.url.pathname + hop.url.search,
        method: hop.method,
        headers: { 'user-agent': userAgent, 'accept-encoding': 'identity', ...hop.headers },
        signal: hop.signal,
        reset: false, // undici would close the connection after each HEAD
        ...(hop.lane === 'transfer' ? { highWaterMark: transferBufferBytes } : {}),
      });
      const { statusCode, headers, body } = await waitFor(sent, hop.signal);
      body.on('error', () => undefined); // whoever reads gets it too; nobody reads: no reason to end the process
      observer.upstreamAnswered(key, hop.kind, hop.method, statusCode);
      this.roundTrip.add(hop.url, performance.now() - sentAt);
      return { status: statusCode, headers, body };
    } catch (error) {
      if (error instanceof DialRefusal) throw error;
      observer.upstreamAnswered(key, hop.kind, hop.method, undefined);
      hop.signal.throwIfAborted();
      throw this.explain(error);
    }
  }

  /** An error of `send` or of a body as what this room throws. */
  explain(error: unknown): TransportError {
    if (error instanceof TransportError) return error;
    const isObject = typeof error === 'object' && error !== null;
    const counted = error instanceof errors.SocketError ? (error.socket?.bytesRead ?? 0) > 0 : false;
    return new TransportError(error, counted || (isObject && this.#reused.has(error)));
  }

  /** Cuts what still runs. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= Promise.all([this.#control.close(), this.#transfer.close()]).then(() => undefined);
    return this.#closing;
  }
}

/** The first value of a header, undefined when absent. */
export function headerOf(headers: Headers, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : value?.[0];
}

/** Code and message; of several attempts (one per address) the first. Never the error itself: it may hold bytes. */
function describe(error: unknown): string {
  const inner: unknown = error instanceof AggregateError ? (error.errors[0] ?? error) : error;
  if (!(inner instanceof Error)) return 'the connection failed';
  const code = 'code' in inner && typeof inner.code === 'string' ? inner.code : inner.name;
  return inner.message.includes(code) ? inner.message : `${code}: ${inner.message}`;
}
