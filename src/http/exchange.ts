/**
 * One request and its answer: what the access log and the metrics report of it, and the signal that aborts when the client
 * leaves. Label values come from closed tables or from the configuration, never from the client.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import type { Middleware, ParameterizedContext } from 'koa';
import { AddressBlocks } from '../lib/address-blocks.ts';
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/name.ts';
import type { Located } from '../registry/directory.ts';
import type { Answer, ReadOptions } from '../registry/registry.ts';
import type { RegistryDeleter, RegistryWriter, WriteOptions } from '../registry/writer.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Kind, Observer, Outcome, RequestEnd, RequestTraces } from '../telemetry/observer.ts';
import type { AskedFor, RegistryEventListener } from '../telemetry/registry-events.ts';
import type { ConnectionIdentities, ConnectionIdentity } from './server/connections.ts';
import type { BlobSender } from './v2/send-blob.ts';

/** `context.state` of every middleware. */
export interface AppState {
  exchange: Exchange;
}

export type AppContext = ParameterizedContext<AppState>;

/** A pull after its repository was found, as `v2/dispatch.ts` gives it to a handler. */
export interface PullRequest {
  readonly context: AppContext;
  readonly located: Located;
  /** The signal aborts when the client leaves. */
  readonly options: ReadOptions;
  /** As the client sent it, decoded. */
  readonly ns: string | undefined;
  readonly query: URLSearchParams;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  readonly events: RegistryEventListener | undefined;
  readonly sender: BlobSender;
}

/** A push or a delete after its repository was found and the caller's right was checked. */
export interface PushRequest {
  readonly context: AppContext;
  readonly writer: RegistryWriter;
  readonly deleter: RegistryDeleter;
  readonly repository: Repository;
  /** The signal aborts when the client leaves. */
  readonly options: WriteOptions;
  readonly canonicalName: string;
  readonly events: RegistryEventListener | undefined;
  /** The repository as the client calls it: for URLs in the answer. */
  readonly name: string;
  /** As the client sent it, decoded. */
  readonly ns: string | undefined;
  readonly query: URLSearchParams;
}

/** The client left before it was answered: a status for log and metrics, never sent. */
const clientLeftStatus = 499;

const methods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

export class Exchange {
  kind: Kind = 'other';
  /** Configured key of the upstream; `none` until a repository is found. */
  upstream = 'none';
  outcome: Outcome = 'hit';
  ns: string | undefined;
  /** The client's address. */
  client: string | undefined;
  /** What the connection says of the client. Undefined: nothing unusual. */
  connection: ConnectionIdentity | undefined;
  /** The login name; undefined: anonymous, or not asked for. */
  user: string | undefined;
  /** The client's `X-Request-Id` if it is one, else made here: in the answer, the log, and the upstream's requests. */
  readonly requestId: string;
  /** Undefined: a request to no registry API, or one that can't be read. */
  asked: AskedFor | undefined;
  /** Set when the answer is an error or was cut. */
  failure: { readonly code: string; readonly message: string; readonly cause: unknown } | undefined;
  /** The manifest that was given to a GET. */
  manifest: Digest | undefined;
  /** Health and metrics are polled all day: logged at debug level. */
  isOps = false;
  isByProxy = false;
  readonly #startedMs = performance.now();
  readonly #response: ServerResponse;
  #leaving: AbortController | undefined;
  #hasLeft = false;
  #streamedBytes: number | undefined;
  #firstByteMs: number | undefined;

  constructor(response: ServerResponse) {
    this.#response = response;
    this.requestId = requestIdOf(response.req);
    response.once('close', () => {
      if (response.writableFinished) return;
      this.#hasLeft = true;
      this.#leaving?.abort(left());
    });
  }

  /** The connection ended before the answer did. */
  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  /** Aborts when the client leaves. Made on first use: an answer that waits for nothing needs none. */
  get signal(): AbortSignal {
    if (this.#leaving === undefined) {
      this.#leaving = new AbortController();
      if (this.#hasLeft) this.#leaving.abort(left());
    }
    return this.#leaving.signal;
  }

  record(answer: Answer): void {
    this.outcome = answer.stale === undefined ? answer.outcome : 'stale';
  }

  /** `cause`: why an upstream could not be asked. */
  fail(code: string, message: string, cause?: unknown): void {
    this.outcome = 'error';
    this.failure = { code, message, cause };
  }

  /** A streamed body counts itself; every other body is counted by its length. */
  sent(bytes: number): void {
    this.#firstByteMs ??= performance.now();
    this.#streamedBytes = (this.#streamedBytes ?? 0) + bytes;
  }

  /** The proxy in front sends so many bytes of a body that the answer itself hasn't. */
  sentByProxy(bytes: number): void {
    this.isByProxy = true;
    this.sent(bytes);
  }

  /** To be called once, when the response has closed. */
  end(request: IncomingMessage): RequestEnd {
    const response = this.#response;
    const nowMs = performance.now();
    return {
      upstream: this.upstream,
      kind: this.kind,
      outcome: this.outcome,
      asked: this.asked,
      manifest: this.manifest,
      failure: this.failure?.cause,
      method: methods.has(request.method ?? '') ? (request.method ?? '') : 'OTHER',
      status: response.headersSent ? response.statusCode : clientLeftStatus,
      bytes: this.#streamedBytes ?? wholeBodyBytes(request, response),
      seconds: (nowMs - this.#startedMs) / 1000,
      firstByteSeconds: ((this.#firstByteMs ?? nowMs) - this.#startedMs) / 1000,
    };
  }
}

export const requestIdHeader = 'X-Request-Id';

/** Safe in a log line and in a header. */
const requestIdPattern = /^[A-Za-z0-9._-]{1,128}$/;

function requestIdOf({ headers }: IncomingMessage): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && requestIdPattern.test(given) ? given : randomUUID();
}

function wholeBodyBytes(request: IncomingMessage, response: ServerResponse): number {
  if (request.method === 'HEAD' || response.statusCode === 304 || !response.headersSent) return 0;
  const length = Number(response.getHeader('Content-Length'));
  return Number.isFinite(length) ? length : 0;
}

const left = (): Error => new Error('the client left');

export type ClientAddress = (request: IncomingMessage) => string | undefined;

/** `trusted`: IP addresses and CIDR blocks. Errors: TypeError or RangeError for an entry that is neither. */
export function clientAddressBehind(trusted: readonly string[]): ClientAddress {
  const proxies = new AddressBlocks(trusted);
  return request => {
    const peer = plainAddress(request.socket.remoteAddress);
    if (trusted.length === 0 || peer === undefined || !proxies.has(peer)) return peer;
    const claimed = [request.headers['x-forwarded-for'] ?? []].flat().join(',').split(',');
    let nearest = peer;
    for (const text of claimed.reverse()) {
      const address = plainAddress(text.trim());
      if (address === undefined) break; // no address: nothing beyond it can be trusted
      nearest = address;
      if (!proxies.has(address)) break;
    }
    return nearest;
  };
}

/** Without brackets, port, zone and the `::ffff:` of an IPv4 client on a dual-stack socket. Undefined: not an address. */
export function plainAddress(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const plain = text.startsWith('::ffff:') ? text.slice(7) : text;
  if (isIP(plain) === 4) return plain; // nearly all
  const bare = text
    .replace(/^\[([^\]]*)\](?::\d+)?$/, '$1')
    .replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1')
    .replace(/%.*$/, '')
    .replace(/^::ffff:(?=\d+\.)/i, '');
  return isIP(bare) === 0 ? undefined : bare;
}

export interface AccessLogOptions {
  readonly observer: Observer;
  readonly logger: Logger;
  /** False: requests are reported to the observer alone. */
  readonly write: boolean;
  readonly clientAddress: ClientAddress;
  /** Hears of each answer with the client's address. */
  readonly clients?: { note(client: string, end: RequestEnd): void };
  readonly identities?: Pick<ConnectionIdentities, 'of'>;
  readonly traces?: RequestTraces;
}

/** In characters. A request line may have 16 KiB. */
const maxTextLength = 512;

/**
 * Opens an exchange for each request and reports it once, when the response has closed: to the observer always, to the log
 * if it is on. Its middleware is the outermost. The logger hides query values.
 */
export class AccessLog {
  /** Works only while the socket is open. */
  readonly clientAddress: ClientAddress;
  readonly #options: AccessLogOptions;

  constructor(options: AccessLogOptions) {
    this.#options = options;
    this.clientAddress = options.clientAddress;
  }

  /** What the connection says of the client. Undefined: nothing unusual. */
  connectionOf(request: IncomingMessage): ConnectionIdentity | undefined {
    return this.#options.identities?.of(request);
  }

  /** `client`: the client's address. */
  open(request: IncomingMessage, response: ServerResponse, client = this.clientAddress(request)): Exchange {
    const { observer, logger, write, clients, traces } = this.#options;
    const exchange = new Exchange(response);
    exchange.client = client;
    exchange.connection = this.connectionOf(request);
    traces?.began(request, exchange.requestId);
    response.once('close', () => {
      const end = exchange.end(request);
      observer.requestEnded(end);
      if (client !== undefined) clients?.note(client, end);
      traces?.ended(request, end);
      if (write) writeLine(logger, exchange, end, request, response);
    });
    return exchange;
  }

  get middleware(): Middleware<AppState> {
    return (context, next) => {
      context.state.exchange = this.open(context.req, context.res);
      context.set(requestIdHeader, context.state.exchange.requestId);
      return next();
    };
  }
}

function writeLine(
  logger: Logger,
  exchange: Exchange,
  end: RequestEnd,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const line = {
    method: request.method,
    path: request.url?.slice(0, maxTextLength),
    ns: exchange.ns,
    status: end.status,
    bytes: end.bytes,
    ms: Math.round(end.seconds * 1e4) / 10,
    firstByteMs: Math.round(end.firstByteSeconds * 1e4) / 10,
    kind: end.kind,
    outcome: end.outcome,
    upstream: end.upstream,
    code: exchange.failure?.code,
    reason: exchange.failure?.message,
    ended: response.writableFinished ? undefined : 'early',
    sentBy: exchange.isByProxy ? 'proxy' : undefined,
    client: exchange.client,
    user: exchange.user,
    requestId: exchange.requestId,
    userAgent: request.headers['user-agent']?.slice(0, maxTextLength),
  };
  logger[exchange.isOps ? 'debug' : 'info']('request', line);
}
