/**
 * Asks other nodes for what they hold, with signed requests over connections of its own, and limits how long a request may take. It verifies
 * lengths and manifests; blobs come unverified, as from an upstream.
 */
import { Agent } from 'undici';
import { algorithmOf, type Digest, digestOf } from '../../oci/digest.ts';
import { maxManifestBytes } from '../../oci/manifest.ts';
import { formatRange, parseContentRange } from '../../oci/range.ts';
import { buildPeerTarget, type PeerManifest, type PeerRequest } from '../../registry/peer.ts';
import type { OpenedSource } from '../../registry/registry.ts';
import type { FleetObserver, PeerResult } from '../../telemetry/observer.ts';
import type { BlobLeases } from '../redis/blob-leases.ts';
import type { Peer } from '../redis/nodes.ts';
import type { RequestSignatures } from '../signature.ts';

/**
 * The node doesn't give it. `missing`: it doesn't have it, or not for that repository · `refused`: our signature isn't of its fleet ·
 * `silent`: no answer in time · `wrong`: it gave something else.
 */
export class PeerError extends Error {
  readonly result: Exclude<PeerResult, 'given'> | 'silent' | 'wrong';

  constructor(result: PeerError['result'], message: string) {
    super(message);
    this.name = 'PeerError';
    this.result = result;
  }
}

export interface PeerTransfer extends OpenedSource {
  /** A node always knows the size. */
  readonly size: number;
}

const connectMs = 1000;
/** Blobs at once from one node. */
const connections = 128;
const bufferBytes = 256 * 1024;

export class PeerClient {
  readonly #signatures: RequestSignatures;
  readonly #observer: FleetObserver;
  /** No timeouts: a node may wait for its upstream before it answers, and between two bytes. `PeerCall` limits that. */
  readonly #agent = new Agent({
    connections,
    pipelining: 1,
    connect: { timeout: connectMs },
    headersTimeout: 0,
    bodyTimeout: 0,
  });

  constructor(signatures: RequestSignatures, observer: FleetObserver) {
    this.#signatures = signatures;
    this.#observer = observer;
  }

  /** A blob from an offset on, or up to `end` (one past the last byte). Errors: PeerError; the signal's reason. */
  async blob(
    peer: Peer,
    request: PeerRequest,
    { offset, end }: { readonly offset: number; readonly end: number | undefined },
    signal: AbortSignal,
  ): Promise<PeerTransfer> {
    const isWhole = offset === 0 && end === undefined;
    const last = end === undefined ? {} : { last: end - 1 };
    const range = isWhole ? undefined : formatRange({ first: offset, ...last });
    const { status, headers, body } = await this.#ask(peer, request, range, signal);
    const length = Number(headers['content-length']);
    const whole = { start: 0, end: length, size: length };
    const given = isWhole ? whole : parseContentRange(String(headers['content-range']));
    const isAsked =
      status === (isWhole ? 200 : 206) &&
      given?.size !== undefined &&
      Number.isSafeInteger(given.size) &&
      given.start === offset &&
      given.end === Math.min(end ?? given.size, given.size);
    if (!isAsked) {
      body.destroy();
      throw this.#failed(request, new PeerError('wrong', `${peer.url} gave the wrong range`));
    }
    this.#observer.peerAnswered('blob', 'given');
    const stream = streamOf(peer, body, given.end - given.start);
    return { start: given.start, size: given.size, stream };
  }

  /** Whole and verified. Errors: PeerError; the signal's reason. */
  async manifest(peer: Peer, request: PeerRequest, signal: AbortSignal): Promise<PeerManifest> {
    const { status, headers, body } = await this.#ask(peer, request, undefined, signal);
    const { digest } = request;
    try {
      const chunks: Buffer[] = [];
      let size = 0;
      for await (const chunk of body) {
        size += chunk.length;
        if (size > maxManifestBytes) break;
        chunks.push(chunk);
      }
      const bytes = Buffer.concat(chunks);
      if (status !== 200 || digestOf(bytes, algorithmOf(digest)) !== digest)
        throw new PeerError('wrong', `${peer.url} gave something else than ${digest}`);
      this.#observer.peerAnswered('manifest', 'given');
      return { descriptor: { digest, mediaType: String(headers['content-type']), size }, bytes };
    } catch (error) {
      signal.throwIfAborted();
      throw this.#failed(request, error instanceof PeerError ? error : brokenOff(peer, error));
    }
  }

  /** Ends running requests. Idempotent. */
  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #ask(peer: Peer, request: PeerRequest, range: string | undefined, signal: AbortSignal) {
    signal.throwIfAborted();
    const target = buildPeerTarget(request);
    const url = new URL(peer.url + target); // it may have a path in front, which a proxy removes
    const authorization = this.#signatures.sign({ method: 'GET', target, range }, peer.node);
    const answer = await this.#agent
      .request({
        origin: url.origin,
        path: url.pathname + url.search,
        method: 'GET',
        headers: { authorization, ...(range !== undefined && { range }) },
        signal,
        highWaterMark: bufferBytes,
      })
      .catch((error: unknown) => {
        const reason: unknown = signal.aborted ? signal.reason : brokenOff(peer, error);
        throw reason instanceof PeerError ? this.#failed(request, reason) : reason;
      });
    answer.body.on('error', () => undefined); // the reader gets it too
    const { statusCode: status, headers, body } = answer;
    if (status === 200 || status === 206) return { status, headers, body };
    await body.dump().catch(() => undefined);
    const result = status === 401 ? 'refused' : status === 404 || status === 416 ? 'missing' : 'unreachable';
    throw this.#failed(request, new PeerError(result, `${peer.url} answered ${status}`));
  }

  #failed({ kind }: PeerRequest, error: PeerError): PeerError {
    if (error.result === 'wrong') this.#observer.peerWrong();
    else this.#observer.peerAnswered(kind, error.result === 'silent' ? 'unreachable' : error.result);
    return error;
  }
}

export interface PeerCallOptions {
  /** The reader's. */
  readonly signal: AbortSignal;
  /** How long the node has for its answer. Milliseconds. */
  readonly answerMs: number;
  /** Of the node that is followed. */
  readonly lease?:
    | { readonly leases: BlobLeases; readonly digest: Digest; readonly token: string }
    | undefined;
  readonly lookEveryMs: number;
  /** Called once or more. */
  onClose(): void;
}

/**
 * One request to another node. It ends when there is no answer in time; and when the node is followed, no bytes come and its lease has gone to
 * another one. A connection alone doesn't tell (the process may be stopped, its machine off). While bytes come, Redis isn't asked.
 */
export class PeerCall {
  readonly #options: PeerCallOptions;
  readonly #controller = new AbortController();
  readonly #onAbort = () => this.abort(this.#options.signal.reason);
  readonly #answerTimer: NodeJS.Timeout;
  readonly #lookTimer: NodeJS.Timeout | undefined;
  #bytes = 0;
  #bytesAtLook = 0;

  constructor(options: PeerCallOptions) {
    const { signal, answerMs, lease, lookEveryMs } = options;
    this.#options = options;
    signal.addEventListener('abort', this.#onAbort, { once: true });
    const late = () => this.abort(new PeerError('silent', `no answer within ${answerMs} ms`));
    this.#answerTimer = setTimeout(late, answerMs).unref();
    if (lease !== undefined) this.#lookTimer = setInterval(() => void this.#look(lease), lookEveryMs).unref();
    if (signal.aborted) this.#onAbort();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Received so far. */
  get bytes(): number {
    return this.#bytes;
  }

  onAnswer(): void {
    clearTimeout(this.#answerTimer);
  }

  onBytes(count: number): void {
    this.#bytes += count;
  }

  /** Ends the request. Idempotent. */
  abort(reason: unknown): void {
    this.close();
    this.#controller.abort(reason);
  }

  /** The request is over. Idempotent. */
  close(): void {
    clearTimeout(this.#answerTimer);
    clearInterval(this.#lookTimer);
    this.#options.signal.removeEventListener('abort', this.#onAbort);
    this.#options.onClose();
  }

  async #look({ leases, digest, token }: NonNullable<PeerCallOptions['lease']>): Promise<void> {
    const bytes = this.#bytes;
    const hasMoved = bytes !== this.#bytesAtLook;
    this.#bytesAtLook = bytes;
    if (hasMoved) return;
    const owner = await leases.owner(digest);
    if (owner === undefined || owner === token || this.#bytes !== bytes) return;
    this.abort(new PeerError('unreachable', 'the node that was followed has lost its lease'));
  }
}

/** Exactly `length` bytes, or an error. */
async function* streamOf(
  peer: Peer,
  body: AsyncIterable<Buffer>,
  length: number,
): AsyncGenerator<Buffer, void, void> {
  let left = length;
  try {
    for await (const chunk of body) {
      left -= chunk.length;
      if (left < 0) break;
      yield chunk;
    }
  } catch (error) {
    throw brokenOff(peer, error);
  }
  if (left !== 0) throw new PeerError('unreachable', `${peer.url} did not give ${length} bytes`);
}

function brokenOff(peer: Peer, error: unknown): PeerError {
  const code = error instanceof Error && 'code' in error ? `${error.code} ` : '';
  const message = error instanceof Error ? error.message : 'the connection failed';
  return new PeerError('unreachable', `${peer.url}: ${code}${message}`);
}
