/**
 * One request of a push over HTTP, by undici: proxies as the environment names them, a deadline for the answer, and an end for a
 * body that nothing takes any more. Redirects aren't followed: an upload goes where the registry's `Location` says.
 */
import { Readable } from 'node:stream';
import { EnvHttpProxyAgent } from 'undici';
import { PushError } from './push-error.ts';

export interface PushRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Called for each try. With it `headers` have `content-length`. */
  readonly body?: () => AsyncIterable<Buffer>;
  readonly signal: AbortSignal;
}

export interface PushAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** At most 64 KiB of it. */
  readonly body: Buffer;
}

export type Send = (request: PushRequest) => Promise<PushAnswer>;

export interface PushTransportOptions {
  /** The certificate isn't checked. */
  readonly insecure: boolean;
  /** PEM; undefined: the system's authorities. */
  readonly ca: string | undefined;
  readonly userAgent: string;
  /** NO_PROXY; this machine itself never goes through a proxy. */
  readonly noProxy: string;
}

const connectMs = 10_000;
/** A registry hashes a whole blob before it answers. */
const answerMs = 300_000;
/** So long nothing of a body may go out. */
const stallMs = 60_000;
const maxAnswerBytes = 64 * 1024;

export class PushTransport {
  readonly #agent: EnvHttpProxyAgent;
  readonly #userAgent: string;

  constructor({ insecure, ca, userAgent, noProxy }: PushTransportOptions) {
    this.#userAgent = userAgent;
    const tls = { rejectUnauthorized: !insecure, ...(ca !== undefined && { ca }) };
    this.#agent = new EnvHttpProxyAgent({
      connect: { timeout: connectMs, ...tls },
      requestTls: tls, // of the registry, where a proxy is in between
      noProxy: `${noProxy},localhost,127.0.0.1,[::1]`,
      headersTimeout: answerMs,
      bodyTimeout: answerMs,
      proxyTunnel: false,
    });
  }

  /** Errors: `PushError` without a status when there is no answer; the signal's reason. */
  readonly send: Send = async ({ method, url, headers, body, signal }) => {
    signal.throwIfAborted();
    const stall = new StallGuard();
    try {
      const answer = await this.#agent.request({
        origin: url.origin,
        path: url.pathname + url.search,
        method,
        headers: { 'user-agent': this.#userAgent, ...headers },
        signal: AbortSignal.any([signal, stall.signal]),
        ...(body !== undefined && { body: Readable.from(stall.watch(body()), { objectMode: false }) }),
        ...(method === 'HEAD' && { reset: false }),
      });
      return { status: answer.statusCode, headers: answer.headers, body: await readSome(answer.body) };
    } catch (error) {
      signal.throwIfAborted();
      throw explain(error, url);
    } finally {
      stall.dispose();
    }
  };

  close(): Promise<void> {
    return this.#agent.destroy();
  }
}

/** Undefined: the bytes are no JSON object, or have no such text. */
export function stringIn(bytes: Buffer, key: string): string | undefined {
  try {
    const value: unknown = Reflect.get(Object(JSON.parse(bytes.toString('utf8'))), key);
    return typeof value === 'string' && value !== '' ? value : undefined;
  } catch {
    return undefined; // no JSON: the caller says what it lacks
  }
}

/** Ends a request whose body is not taken: a line that died without a word. */
class StallGuard {
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  async *watch(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of body) {
      this.#timer = setTimeout(
        () => this.#controller.abort(new Error('the line takes no more bytes')),
        stallMs,
      );
      yield chunk;
      clearTimeout(this.#timer);
    }
  }

  dispose(): void {
    clearTimeout(this.#timer);
  }
}

async function readSome(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    if (bytes < maxAnswerBytes) chunks.push(chunk);
    bytes += chunk.length;
  }
  return Buffer.concat(chunks).subarray(0, maxAnswerBytes);
}

/** What Node says when a TLS hello is answered in plain text. */
const plainAnswers: ReadonlySet<unknown> = new Set([
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
  'EPROTO',
]);
const distrust = /^(?:CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|ERR_TLS_CERT)/;

function explain(error: unknown, { host, protocol }: URL): PushError {
  if (!(error instanceof Error)) return new PushError(`${host}: ${String(error)}`);
  const code = 'code' in error ? String(error.code) : '';
  if (protocol === 'https:' && plainAnswers.has(code))
    return new PushError(`${host} does not speak TLS: add --plain-http`, 'FAILED', { isPassing: false });
  if (distrust.test(code))
    return new PushError(
      `the certificate of ${host} is not trusted (${error.message}): name its authority with --ca-file, or add --insecure`,
      'FAILED',
      { isPassing: false },
    );
  return new PushError(`${host} cannot be reached: ${error.message || code}`);
}
