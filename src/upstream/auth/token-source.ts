/**
 * Bearer tokens (the distribution project's token specification): asked at the realm with service and scope, kept until
 * shortly before they expire, asked once for however many wait. Only memory holds them.
 */

import { waitFor } from '../../lib/wait.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';

export interface TokenOptions {
  readonly upstream: string;
  now(): number;
  /**
   * GET of a realm, whatever the status; body at most 64 KiB. Its time is its own: no caller ends it.
   * Errors: `UpstreamError`.
   */
  ask(
    url: URL,
    headers: Readonly<Record<string, string>>,
  ): Promise<{ status: number; bytes: Buffer; complaint: string }>;
}

export interface TokenRequest {
  /** Checked by `checkRealm`. */
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scope: string;
  /** `Basic …`; undefined: anonymous. Part of what a token is kept under. */
  readonly basic: string | undefined;
  /** A token that was refused just now: anything else will do. */
  readonly rejected?: string | undefined;
}

export interface Token {
  readonly value: string;
  /** Fetched for this caller (perhaps among others): a refusal of it is the last word. */
  readonly isFresh: boolean;
}

interface Held {
  readonly value: string;
  readonly untilMs: number;
}

/** The specification's, for an answer without `expires_in`. */
const defaultLifeSeconds = 60;
const maxLifeSeconds = 24 * 3600;
/** Refreshed that long before it expires, at most a fifth of its life: a request takes its time too. */
const marginMs = 10_000;
const maxTokens = 4096;
const tokenPattern = /^[\x21-\x7e]+$/;

export class TokenSource {
  readonly #options: TokenOptions;
  readonly #held = new Map<string, Held>();
  readonly #running = new Map<string, Promise<string>>();

  constructor(options: TokenOptions) {
    this.#options = options;
  }

  /** Errors: `UpstreamError` of kind `token`; the signal's reason (the request goes on for others). */
  async token(request: TokenRequest, signal: AbortSignal): Promise<Token> {
    const key = JSON.stringify([request.realm.href, request.service, request.scope, request.basic ?? null]);
    const held = this.#held.get(key);
    if (held !== undefined && held.value !== request.rejected && held.untilMs > this.#options.now()) {
      return { value: held.value, isFresh: false };
    }
    let running = this.#running.get(key);
    if (running === undefined) {
      running = this.#fetch(key, request).finally(() => this.#running.delete(key));
      this.#running.set(key, running);
    }
    return { value: await waitFor(running, signal), isFresh: true };
  }

  async #fetch(key: string, request: TokenRequest): Promise<string> {
    const url = new URL(request.realm);
    if (request.service !== undefined) url.searchParams.set('service', request.service);
    url.searchParams.set('scope', request.scope);
    const answer = await this.#options.ask(
      url,
      request.basic === undefined ? {} : { authorization: request.basic },
    );
    if (answer.status !== 200) throw this.#refused(request, answer.status, answer.complaint);
    const { token, lifeSeconds } = this.#parse(request, answer.bytes);
    const lifeMs = lifeSeconds * 1000;
    this.#keep(key, { value: token, untilMs: this.#options.now() + lifeMs - Math.min(marginMs, lifeMs / 5) });
    return token;
  }

  #keep(key: string, held: Held): void {
    this.#held.delete(key);
    this.#held.set(key, held);
    const oldest = this.#held.keys().next();
    if (this.#held.size > maxTokens && !oldest.done) this.#held.delete(oldest.value);
  }

  #parse(request: TokenRequest, bytes: Buffer): { token: string; lifeSeconds: number } {
    let body: unknown;
    try {
      body = JSON.parse(bytes.toString('utf8'));
    } catch {
      throw this.#error(request, 'status', 'a token in JSON, got something else', 200);
    }
    const token = stringIn(body, 'token') ?? stringIn(body, 'access_token');
    if (token === undefined || !tokenPattern.test(token)) {
      throw this.#error(request, 'status', 'a token, got an answer without one', 200);
    }
    const life = fieldOf(body, 'expires_in');
    const isLife = typeof life === 'number' && Number.isFinite(life) && life > 0;
    return { token, lifeSeconds: isLife ? Math.min(life, maxLifeSeconds) : defaultLifeSeconds };
  }

  #refused(request: TokenRequest, status: number, complaint: string): UpstreamError {
    const failure = status === 401 || status === 403 ? 'denied' : 'status';
    return this.#error(request, failure, `a token, got ${status}${complaint}`, status);
  }

  #error(request: TokenRequest, failure: 'denied' | 'status', text: string, status: number): UpstreamError {
    const message = `expected of ${request.realm.host} ${text}`;
    return new UpstreamError({
      upstream: this.#options.upstream,
      kind: 'token',
      failure,
      message,
      upstreamStatus: status,
    });
  }
}

function fieldOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? Reflect.get(value, key)
    : undefined;
}

function stringIn(value: unknown, key: string): string | undefined {
  const field = fieldOf(value, key);
  return typeof field === 'string' && field !== '' ? field : undefined;
}
