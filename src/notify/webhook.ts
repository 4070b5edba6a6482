/**
 * One POST to one URL over a connection of its own. Any 2xx counts as taken, whatever its body does; everything else, a
 * redirect among them, and an answer that doesn't come within the deadline is a failure. It never waits longer.
 */
import { Agent as PlainAgent, request as plainRequest } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import type { Timers } from '../lib/wait.ts';
import { envelopeType, sign, signatureHeader } from './envelope.ts';

export interface WebhookOptions {
  readonly url: URL;
  /** Undefined: the body isn't signed. */
  readonly secret: string | undefined;
  readonly userAgent: string;
  /** From the attempt to connect to the status. */
  readonly deadlineMs: number;
  readonly timers: Timers;
}

/** Why a target did not take it; never with the URL's query, which may be a secret. */
class WebhookError extends Error {
  override readonly name = 'WebhookError';
}

export class Webhook {
  readonly #options: WebhookOptions;
  readonly #agent: PlainAgent | TlsAgent;
  readonly #request: typeof plainRequest;

  constructor(options: WebhookOptions) {
    this.#options = options;
    const isTls = options.url.protocol === 'https:';
    const connection = { keepAlive: true, maxSockets: 1, maxFreeSockets: 1 };
    this.#agent = isTls ? new TlsAgent(connection) : new PlainAgent(connection);
    this.#request = isTls ? tlsRequest : plainRequest;
  }

  /** Resolves when the target has taken it. Errors: `WebhookError`; the signal's reason. */
  async send(body: Buffer, signal: AbortSignal): Promise<void> {
    const { deadlineMs, timers } = this.#options;
    const ending = new AbortController();
    const late = new WebhookError(`no answer within ${deadlineMs / 1000} s`);
    const withdraw = timers.after(deadlineMs, () => ending.abort(late));
    const onAbort = (): void => ending.abort(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      signal.throwIfAborted();
      const status = await this.#post(body, ending.signal);
      if (status < 200 || status > 299) throw new WebhookError(`it answered ${status}`);
    } catch (error) {
      ending.signal.throwIfAborted();
      throw error instanceof WebhookError ? error : new WebhookError(describe(error));
    } finally {
      signal.removeEventListener('abort', onAbort);
      withdraw();
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #post(body: Buffer, signal: AbortSignal): Promise<number> {
    const { url, secret, userAgent } = this.#options;
    return new Promise((resolve, reject) => {
      const headers = {
        'Content-Type': envelopeType,
        'Content-Length': body.length,
        'User-Agent': userAgent,
        ...(secret !== undefined && { [signatureHeader]: sign(body, secret) }),
      };
      const request = this.#request(
        url,
        { method: 'POST', headers, agent: this.#agent, signal },
        response => {
          const { statusCode = 0 } = response;
          response.on('error', () => undefined); // the status is all that counts
          if (Number(response.headers['content-length'] ?? Number.POSITIVE_INFINITY) <= maxDrainedBytes) {
            response.resume(); // the connection can be used again
          } else {
            response.destroy();
          }
          resolve(statusCode);
        },
      );
      request.on('error', reject);
      request.end(body);
    });
  }
}

/** A longer answer costs its connection. */
const maxDrainedBytes = 64 * 1024;

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}
