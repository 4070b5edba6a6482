/**
 * One request and its answer: what the access log and the metrics report of it, and the signal that aborts when the client
 * leaves. Label values come from closed tables or from the configuration, never from the client.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ParameterizedContext } from 'koa';
import type { Located } from '../registry/directory.ts';
import type { Answer, ReadOptions } from '../registry/registry.ts';
import type { Kind, Outcome, RequestEnd } from '../telemetry/observer.ts';

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
  /** Set when the answer is an error or was cut. */
  failure: { readonly code: string; readonly message: string } | undefined;
  /** Health and metrics are polled all day: logged at debug level. */
  isOps = false;

  readonly #startedMs = performance.now();
  readonly #response: ServerResponse;
  #leaving: AbortController | undefined;
  #hasLeft = false;
  #streamedBytes: number | undefined;
  #firstByteMs: number | undefined;

  constructor(response: ServerResponse) {
    this.#response = response;
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

  fail(code: string, message: string): void {
    this.outcome = 'error';
    this.failure = { code, message };
  }

  /** A streamed body counts itself; every other body is counted by its length. */
  sent(bytes: number): void {
    this.#firstByteMs ??= performance.now();
    this.#streamedBytes = (this.#streamedBytes ?? 0) + bytes;
  }

  /** To be called once, when the response has closed. */
  end(request: IncomingMessage): RequestEnd {
    const response = this.#response;
    const nowMs = performance.now();
    return {
      upstream: this.upstream,
      kind: this.kind,
      outcome: this.outcome,
      method: methods.has(request.method ?? '') ? (request.method ?? '') : 'OTHER',
      status: response.headersSent ? response.statusCode : clientLeftStatus,
      bytes: this.#streamedBytes ?? wholeBodyBytes(request, response),
      seconds: (nowMs - this.#startedMs) / 1000,
      firstByteSeconds: ((this.#firstByteMs ?? nowMs) - this.#startedMs) / 1000,
    };
  }
}

function wholeBodyBytes(request: IncomingMessage, response: ServerResponse): number {
  if (request.method === 'HEAD' || response.statusCode === 304 || !response.headersSent) return 0;
  const length = Number(response.getHeader('Content-Length'));
  return Number.isFinite(length) ? length : 0;
}

function left(): Error {
  return new Error('the client left');
}
