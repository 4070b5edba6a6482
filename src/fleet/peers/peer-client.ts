/**
 * Asks other nodes for what they hold: signed, each question once, over connections of its own. It verifies lengths and
 * manifests; blobs come unverified, as from an upstream. Bytes are counted apart from those of the Internet line.
 */
import { Agent } from 'undici';
import { algorithmOf, digestOf } from '../../oci/digest.ts';
import { maxManifestBytes } from '../../oci/manifest.ts';
import { formatRange, parseContentRange } from '../../oci/range.ts';
import { buildPeerTarget, type PeerManifest, type PeerQuestion } from '../../registry/peer.ts';
import type { OpenedSource } from '../../registry/registry.ts';
import type { FleetObserver, PeerResult } from '../../telemetry/fleet-observer.ts';
import type { Peer } from '../redis/nodes.ts';
import type { Signatures } from './signature.ts';

export interface PeerClientOptions {
  readonly signatures: Signatures;
  readonly observer: FleetObserver;
}

/**
 * The node doesn't give it. `missing`: it has it not, or not for that repository · `refused`: it doesn't take us for one of
 * its fleet · `silent`: no answer in time · `wrong`: it gave something else.
 */
export class PeerError extends Error {
  readonly result: Exclude<PeerResult, 'given'> | 'silent' | 'wrong';

  constructor(result: PeerError['result'], message: string) {
    super(message);
    this.name = 'PeerError';
    this.result = result;
  }
}

export interface PeerRange {
  readonly offset: number;
  /** One past the last byte; undefined: to the end. */
  readonly end: number | undefined;
}

export interface PeerTransfer extends OpenedSource {
  /** A node always knows it. */
  readonly size: number;
}

const connectMs = 1000;
/** Blobs at once from one node. */
const connections = 128;
const bufferBytes = 256 * 1024;

export class PeerClient {
  readonly #options: PeerClientOptions;
  /** Clocks are the callers': a node may wait for its upstream before it answers, and between two bytes. */
  readonly #agent = new Agent({
    connections,
    pipelining: 1,
    connect: { timeout: connectMs },
    headersTimeout: 0,
    bodyTimeout: 0,
  });

  constructor(options: PeerClientOptions) {
    this.#options = options;
  }

  /** A blob from an offset on, or a part of it. Errors: PeerError; the signal's reason. */
  async blob(
    peer: Peer,
    question: PeerQuestion,
    { offset, end }: PeerRange,
    signal: AbortSignal,
  ): Promise<PeerTransfer> {
    const isWhole = offset === 0 && end === undefined;
    const last = end === undefined ? {} : { last: end - 1 };
    const range = isWhole ? undefined : formatRange({ first: offset, ...last });
    const { status, headers, body } = await this.#ask(peer, question, range, signal);
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
      throw this.#answered(question, new PeerError('wrong', `${peer.url} gave another range than asked`));
    }
    this.#options.observer.peerAnswered('blob', 'given');
    const stream = streamOf(peer, body, given.end - given.start);
    return { start: given.start, size: given.size, stream };
  }

  /** Whole and verified. Errors: PeerError; the signal's reason. */
  async manifest(peer: Peer, question: PeerQuestion, signal: AbortSignal): Promise<PeerManifest> {
    const { status, headers, body } = await this.#ask(peer, question, undefined, signal);
    const { digest } = question;
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
      this.#options.observer.peerAnswered('manifest', 'given');
      return { descriptor: { digest, mediaType: String(headers['content-type']), size }, bytes };
    } catch (error) {
      signal.throwIfAborted();
      const reason = error instanceof PeerError ? error : brokenOff(peer, error);
      throw this.#answered(question, reason);
    }
  }

  /** Cuts what runs. Idempotent. */
  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #ask(peer: Peer, question: PeerQuestion, range: string | undefined, signal: AbortSignal) {
    signal.throwIfAborted();
    const target = buildPeerTarget(question);
    const url = new URL(peer.url + target); // which may have a path in front, for a proxy that takes it away
    const authorization = this.#options.signatures.sign({ method: 'GET', target, range }, peer.node);
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
        throw reason instanceof PeerError ? this.#answered(question, reason) : reason;
      });
    answer.body.on('error', () => undefined); // whoever reads gets it too
    const { statusCode: status, headers, body } = answer;
    if (status === 200 || status === 206) return { status, headers, body };
    await body.dump().catch(() => undefined); // the status is all that counts
    const result = status === 401 ? 'refused' : status === 404 || status === 416 ? 'missing' : 'unreachable';
    throw this.#answered(question, new PeerError(result, `${peer.url} answered ${status}`));
  }

  #answered({ kind }: PeerQuestion, error: PeerError): PeerError {
    const { observer } = this.#options;
    if (error.result === 'wrong') observer.peerWrong();
    else observer.peerAnswered(kind, error.result === 'silent' ? 'unreachable' : error.result);
    return error;
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
