/**
 * One hop: a request to one host and the headers of its answer. Nothing is decoded, followed, retried or timed here
 * except the connection attempt; every hop that was dialled is reported to the observer. Blob bodies, which run for
 * minutes, have connections of their own, so that they never keep a manifest or a token waiting.
 */
import { waitFor } from '../../lib/wait.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Kind, Observer } from '../../telemetry/observer.ts';
import {
  checkWrittenHost,
  classifyHost,
  createConnector,
  type DialOptions,
  DialRefusal,
  hostAndPort,
  type ReusedErrors,
} from './dial.ts';
import {
  type AgentOptions,
  chooseProxy,
  createProxyAgent,
  type ProxyChoice,
  type ProxyOptions,
} from './proxy.ts';
import { Agent, type Body, type Dispatcher, errors } from './undici-parts.ts';

export type Method = 'GET' | 'HEAD';
export type Headers = Readonly<Record<string, string | string[] | undefined>>;
/** Which connections: for short answers, or for bodies that may run for minutes. */
export type PoolName = 'control' | 'transfer';

export interface TransportOptions {
  readonly key: string;
  readonly dial: DialOptions;
  readonly proxy: ProxyOptions | undefined;
  readonly userAgent: string;
  readonly observer: Observer;
  readonly logger: Logger;
  /** Milliseconds, monotonic; absent: the system's. */
  readonly clock?: () => number;
}

export interface Hop {
  readonly url: URL;
  readonly method: Method | 'POST';
  readonly kind: Kind;
  readonly headers: Readonly<Record<string, string>>;
  /** Of a POST. */
  readonly body?: string;
  readonly pool: PoolName;
  /** Ends the wait for headers, and afterwards the body. */
  readonly signal: AbortSignal;
}

export interface HopAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Headers;
  /** The caller reads or drains it. */
  readonly body: Body;
}

/** No answer, or a body that broke off: refused, reset, DNS, TLS, a connection attempt that took too long. */
export class TransportError extends Error {
  override readonly name = 'TransportError';
  /** The connection had served other requests: the server may just have ended it, asking again is in order. */
  readonly reused: boolean;
  /** The host did answer, with what can't be read: headers over 64 KiB, or no HTTP. It isn't away. */
  readonly answered: boolean;

  constructor(error: unknown, reused: boolean) {
    super(describe(error));
    this.answered = error instanceof errors.HeadersOverflowError || error instanceof errors.HTTPParserError;
    this.reused = reused && !this.answered;
  }
}

/** Enough for a farm of nodes that ask for their tags in the same second. */
const controlConnections = 64;
/** What one turn of the event loop brings from a fast upstream (content/transfer.ts). */
const transferBufferBytes = 512 * 1024;
const idleConnectionMs = 15_000;
/** Of an answer: some registries set many cookies, or policies of many kilobytes. */
const maxHeaderBytes = 64 * 1024;
/** An answer that begins later than this is a line in the log. */
const slowMs = 2000;

function performanceNow(): number {
  return performance.now();
}

export class Transport {
  readonly #options: TransportOptions;
  readonly #control: ConnectionPool;
  readonly #transfer: ConnectionPool;
  readonly #reused: ReusedErrors = new WeakSet();
  readonly roundTrip = new RoundTrip();
  #closing: Promise<void> | undefined;

  constructor(options: TransportOptions) {
    const { dial, proxy } = options;
    this.#options = options;
    this.#control = new ConnectionPool(dial, proxy, controlConnections, this.#reused);
    this.#transfer = new ConnectionPool(dial, proxy, null, this.#reused);
  }

  /** Errors: `TransportError`, `DialRefusal`, the signal's reason. */
  async send(hop: Hop): Promise<HopAnswer> {
    hop.signal.throwIfAborted();
    const { observer, key, userAgent, dial } = this.#options;
    const { dispatcher, isProxied } = (hop.pool === 'transfer' ? this.#transfer : this.#control).to(hop.url);
    if (isProxied) checkWrittenHost(hop.url, dial.url);
    const clock = this.#options.clock ?? performanceNow;
    const sentAt = clock();
    try {
      const sent = dispatcher.request({
        origin: hop.url.origin,
        path: hop.url.pathname + hop.url.search,
        method: hop.method,
        headers: { 'user-agent': userAgent, 'accept-encoding': 'identity', ...hop.headers },
        ...(hop.body === undefined ? {} : { body: hop.body }),
        signal: hop.signal,
        reset: false, // undici would close the connection after each HEAD
        ...(hop.pool === 'transfer' ? { highWaterMark: transferBufferBytes } : {}),
      });
      const { statusCode, headers, body } = await waitFor(sent, hop.signal);
      body.on('error', () => undefined); // a reader gets it too; without a reader it must not end the process
      observer.upstreamAnswered(key, hop.kind, hop.method, statusCode);
      this.roundTrip.add(hop.url, clock() - sentAt);
      this.#logIfSlow(hop, clock() - sentAt, statusCode);
      return { status: statusCode, headers, body };
    } catch (error) {
      if (error instanceof DialRefusal) throw error;
      observer.upstreamAnswered(key, hop.kind, hop.method, undefined);
      this.#logIfSlow(hop, clock() - sentAt, undefined);
      hop.signal.throwIfAborted();
      throw this.explain(error);
    }
  }

  /** The logger hides the query, which may hold a signature. */
  #logIfSlow({ url, method, kind }: Hop, ms: number, status: number | undefined): void {
    if (ms <= slowMs) return;
    const { key: upstream, logger } = this.#options;
    const path = url.pathname.slice(0, 512);
    logger.info('slow upstream', {
      upstream,
      host: url.host,
      method,
      path,
      kind,
      status,
      ms: Math.round(ms),
    });
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

/** Connections of one purpose, direct or through the configured proxies. They are opened when they are needed. */
class ConnectionPool {
  readonly #dial: DialOptions;
  readonly #reused: ReusedErrors;
  readonly #agent: AgentOptions;
  readonly #direct: Agent;
  readonly #choose: ProxyChoice | undefined;
  readonly #proxied = new Map<URL, Dispatcher>();
  readonly #proxiedOwn = new Map<URL, Dispatcher>();

  /** `connections`: at once, per host; null: no limit here, its user has one (transfer-slots.ts). */
  constructor(
    dial: DialOptions,
    proxy: ProxyOptions | undefined,
    connections: number | null,
    reused: ReusedErrors,
  ) {
    this.#dial = dial;
    this.#reused = reused;
    // Deadlines and the stall timeout of the reader govern the time, undici's own clocks are off.
    this.#agent = {
      connections,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: idleConnectionMs,
      maxHeaderSize: maxHeaderBytes,
    };
    this.#direct = new Agent({ ...this.#agent, connect: createConnector(dial, reused) });
    this.#choose = proxy && chooseProxy(proxy);
  }

  to(target: URL): { readonly dispatcher: Dispatcher; readonly isProxied: boolean } {
    const proxy = this.#choose?.(target);
    if (proxy === undefined) return { dispatcher: this.#direct, isProxied: false };
    // an agent of its own for the one host that the client's certificate is shown to
    const isOwn = hostAndPort(target) === hostAndPort(this.#dial.url);
    const shown = isOwn ? this.#dial.clientCertificate : undefined;
    const agents = shown === undefined ? this.#proxied : this.#proxiedOwn;
    const known = agents.get(proxy);
    if (known !== undefined) return { dispatcher: known, isProxied: true };
    const dispatcher = createProxyAgent(proxy, this.#agent, this.#dial, this.#reused, shown);
    agents.set(proxy, dispatcher);
    return { dispatcher, isProxied: true };
  }

  /** Cuts what still runs. */
  async close(): Promise<void> {
    const proxied = [...this.#proxied.values(), ...this.#proxiedOwn.values()];
    await Promise.all([this.#direct, ...proxied].map(agent => agent.destroy()));
  }
}

const keptSamples = 8;
const neededSamples = 2;

/**
 * How far away an upstream is: the shortest of the last times between a request and its answer, because connecting, a
 * token check or a busy server only add to it. Loopback counts as 0 ms.
 */
export class RoundTrip {
  readonly #samples: number[] = [];

  /** An answer of that host began after so many milliseconds. */
  add(url: URL, ms: number): void {
    this.#samples.push(classifyHost(url.hostname) === 'loopback' ? 0 : ms);
    if (this.#samples.length > keptSamples) this.#samples.shift();
  }

  /** Milliseconds; undefined: too few answers yet. */
  get shortestMs(): number | undefined {
    return this.#samples.length < neededSamples ? undefined : Math.min(...this.#samples);
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
