/**
 * The bytes of one blob that other nodes give to one transfer: opened, counted, and, when the blob that they made up
 * turned out wrong, held against those who gave them. What comes from the upstream passes here too, because only all
 * parts together can be wrong.
 */
import type { Digest } from '../../oci/digest.ts';
import type { OpenedSource } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { FleetObserver } from '../../telemetry/observer.ts';
import type { BlobLeases } from '../redis/blob-leases.ts';
import type { Holders } from '../redis/holders.ts';
import type { Holdings } from '../redis/lease-renewal.ts';
import type { Peer } from '../redis/nodes.ts';
import { PeerCall } from './peer-call.ts';
import { type PeerClient, PeerError } from './peer-client.ts';
import type { PeerCooldown } from './peer-cooldown.ts';

export interface PeerReadingOptions {
  readonly claims: BlobLeases;
  readonly client: PeerClient;
  readonly holders: Holders;
  readonly holdings: Holdings;
  /** `NODE DIGEST` of what was wrong. */
  readonly distrusted: PeerCooldown;
  /** `NODE DIGEST` of what is being followed. */
  readonly following: Set<string>;
  readonly observer: FleetObserver;
  readonly logger: Logger;
  readonly leaseMs: number;
}

export interface ReadBlob {
  readonly digest: Digest;
  /** Configured key of the upstream whose blob it is. */
  readonly upstream: string;
  /** Canonical name. */
  readonly repository: string;
}

export interface OpenPeerOptions {
  readonly signal: AbortSignal;
  readonly offset: number;
  readonly end?: number;
  readonly anonymous?: boolean;
  readonly expectedSize?: number;
  /** The lease of a node that is getting the blob: it is followed. Without: only what it holds whole. */
  readonly follows?: string;
  /** The reader has given it up before there was a byte. */
  onFruitless?(): void;
}

/** For the answer of a node that has it, and of one that waits for its own upstream. */
const heldAnswerMs = 2000;
const followedAnswerMs = 10_000;

export class PeerReading {
  readonly #options: PeerReadingOptions;
  readonly #blob: ReadBlob;
  /** Nodes whose bytes are in what was read since the last beginning. */
  readonly #givers = new Set<string>();
  #hasAll = false;
  #isWatched = false;

  constructor(options: PeerReadingOptions, blob: ReadBlob) {
    this.#options = options;
    this.#blob = blob;
  }

  /** A source is about to be opened. From 0 again after all was read: it was wrong. */
  begin(offset: number): void {
    const { holdings } = this.#options;
    if (offset === 0) {
      if (this.#hasAll) this.#blame();
      this.#givers.clear();
      this.#hasAll = false;
    }
    if (this.#isWatched || !holdings.isActive(this.#blob.digest)) return;
    this.#isWatched = true;
    void this.#whenEnded();
  }

  /** Never rejects but for the signal's reason: what a node doesn't give is its result. */
  async open(peer: Peer, options: OpenPeerOptions): Promise<OpenedSource | PeerError> {
    const { client, distrusted, following, claims, leaseMs, logger } = this.#options;
    const { digest, repository } = this.#blob;
    const edge = `${peer.node} ${digest}`;
    if (distrusted.has(edge)) return new PeerError('wrong', 'it gave wrong bytes of it before');
    const { signal, offset, end, follows } = options;
    const lease =
      follows === undefined ? undefined : { claims, digest, token: follows, lookEveryMs: leaseMs / 3 };
    const answerMs = lease === undefined ? heldAnswerMs : followedAnswerMs;
    if (lease !== undefined) following.add(edge);
    const call = new PeerCall({ signal, answerMs, onClose: () => following.delete(edge) }, lease);
    const question = {
      kind: 'blob',
      digest,
      repository,
      forAnybody: options.anonymous === true,
      heldOnly: lease === undefined,
    } as const;
    try {
      const opened = await client.blob(peer, question, { offset, end }, call.signal);
      call.answered();
      if (options.expectedSize !== undefined && opened.size !== options.expectedSize) {
        distrusted.add(edge);
        throw new PeerError(
          'wrong',
          `expected ${options.expectedSize} bytes, ${peer.url} has ${opened.size}`,
        );
      }
      this.#givers.add(peer.node);
      return { ...opened, stream: this.#fromPeer(opened, call, options) };
    } catch (error) {
      call.abort(error);
      signal.throwIfAborted();
      if (!(error instanceof PeerError)) throw error;
      logger.debug('a node does not give a blob', {
        digest,
        node: peer.url,
        result: error.result,
        reason: error.message,
      });
      return error;
    }
  }

  /** Passes a stream on; `onEnd` is called once, when it is over. */
  async *watch({ stream, start, size }: OpenedSource, onEnd: () => void): AsyncGenerator<Buffer, void, void> {
    let at = start;
    try {
      for await (const chunk of stream) {
        at += chunk.length;
        if (at === size) this.#hasAll = true;
        yield chunk;
      }
    } finally {
      onEnd();
    }
  }

  async *#fromPeer(
    opened: OpenedSource,
    call: PeerCall,
    { signal, onFruitless }: OpenPeerOptions,
  ): AsyncGenerator<Buffer, void, void> {
    const { observer } = this.#options;
    const { upstream } = this.#blob;
    try {
      for await (const chunk of this.watch(opened, () => call.close())) {
        call.moved(chunk.length);
        observer.peerBytes(upstream, chunk.length);
        yield chunk;
      }
    } catch (error) {
      if (signal.aborted && call.bytes === 0) onFruitless?.();
      signal.throwIfAborted();
      const message = error instanceof Error ? error.message : 'the connection failed';
      throw new UpstreamError({ upstream, kind: 'blob', failure: 'unreachable', message, cause: error });
    }
  }

  async #whenEnded(): Promise<void> {
    const { holdings, holders } = this.#options;
    const { digest } = this.#blob;
    await holdings.ended(digest);
    const isHeld = await holdings.isHeld(digest).catch(() => false);
    if (isHeld && this.#givers.size > 0) holders.note(digest);
    if (!isHeld && this.#hasAll) this.#blame();
    this.#givers.clear();
    this.#isWatched = false;
  }

  #blame(): void {
    const { distrusted, observer, logger } = this.#options;
    const { digest } = this.#blob;
    for (const node of this.#givers) {
      distrusted.add(`${node} ${digest}`);
      observer.peerWrong();
      logger.warn('bytes of a node were wrong', { digest, node });
    }
  }
}
