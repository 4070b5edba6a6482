/**
 * One request and its answer: what the access log and the metrics say about it, and the signal that ends the work for a
 * client that has left. Label values come from closed tables or from the configuration, never from the client.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ParameterizedContext } from 'koa';
import type { Answer } from '../registry/registry.ts';
import type { Kind, Outcome, RequestEnd } from '../telemetry/observer.ts';

/** What every middleware finds in `context.state`. */
export interface AppState {
  exchange: Exchange;
}

export type AppContext = ParameterizedContext<AppState>;

/** The client was gone before there was anything to answer: a status for log and metrics alone, never sent. */
export const clientLeftStatus = 499;

const methods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

export class Exchange {
  kind: Kind = 'other';
  /** Configured key of the upstream; `none` as long as no repository was found. */
  upstream = 'none';
  outcome: Outcome = 'hit';
  ns: string | undefined;
  /** The client's address, as far as it can be believed. */
  client: string | undefined;
  /** Set when the answer is an error, or was cut. */
  failure: { readonly code: string; readonly message: string } | undefined;
  /** Health, metrics: answered all day, logged only for debugging. */
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

  /** Aborts when the client leaves. Made when it is first asked for: an answer that waits for nothing needs none. */
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

  /** To be asked once, when the response has closed. */
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
