/**
 * The bytes of one blob that other nodes give to one transfer: opened, counted, and, when the whole blob turns out wrong, held against the
 * nodes that gave parts of it. Bytes from the upstream pass here too, because only the whole can be wrong.
 */
import type { ExpiringMap } from '../../lib/expiring-map.ts';
import type { Digest } from '../../oci/digest.ts';
import type { OpenedSource } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { FleetObserver } from '../../telemetry/observer.ts';
import type { BlobLeases } from '../redis/blob-leases.ts';
import type { Holders } from '../redis/holders.ts';
import type { LeaseRenewals, LocalBlobs } from '../redis/lease-renewal.ts';
import type { Peer } from '../redis/nodes.ts';
import { PeerCall, type PeerClient, PeerError } from './peer-client.ts';

/** Nodes that aren't asked again for a while. */
export interface PeerCooldowns {
  /** `NODE DIGEST`: that node gave wrong bytes of that blob. */
  readonly distrusted: ExpiringMap<string, true>;
  /** Nodes that are alive and can't be reached: no transfer waits for them. */
  readonly unreachable: ExpiringMap<string, true>;
  /** Nodes that hold something and didn't answer. */
  readonly resting: ExpiringMap<string, true>;
}

/** What all transfers of this node share. */
export interface TransferContext {
  readonly leases: BlobLeases;
  readonly renewals: LeaseRenewals;
  readonly holders: Holders;
  readonly client: PeerClient;
  readonly cooldowns: PeerCooldowns;
  /** `NODE DIGEST`: this node reads that blob from that node while it is downloaded there. */
  readonly followed: Set<string>;
  readonly blobs: LocalBlobs;
  readonly observer: FleetObserver;
  readonly logger: Logger;
  readonly leaseMs: number;
}

export interface ReadBlob {
  readonly digest: Digest;
  /** The upstream's configured key. */
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
  /** Token of that node's lease: it is followed. Absent: only a blob that it holds whole. */
  readonly follows?: string;
  /** The reader gave up before the first byte. */
  onFruitless?(): void;
}

/** For the answer of a node that holds the blob, and of one that waits for its upstream. */
const heldAnswerMs = 2000;
const followedAnswerMs = 10_000;

export class PeerReading {
  readonly #context: TransferContext;
  readonly #blob: ReadBlob;
  /** Nodes whose bytes are in what was read since the last start from 0. */
  readonly #givers = new Set<string>();
  #hasAll = false;
  #isWatched = false;

  constructor(context: TransferContext, blob: ReadBlob) {
    this.#context = context;
    this.#blob = blob;
  }

  /** A source is about to be opened. From 0 again, after the whole was read: the whole was wrong. */
  begin(offset: number): void {
    const { blobs } = this.#context;
    if (offset === 0) {
      if (this.#hasAll) this.#blame();
      this.#givers.clear();
      this.#hasAll = false;
    }
    if (this.#isWatched || !blobs.isActive(this.#blob.digest)) return;
    this.#isWatched = true;
    void this.#whenEnded();
  }

  /** A PeerError is the result when the node doesn't give it. Errors: the signal's reason. */
  async open(peer: Peer, options: OpenPeerOptions): Promise<OpenedSource | PeerError> {
    const { client, cooldowns, followed, leases, leaseMs, logger } = this.#context;
    const { digest, repository } = this.#blob;
    const edge = `${peer.node} ${digest}`;
    if (cooldowns.distrusted.has(edge))
      return new PeerError('wrong', 'it gave wrong bytes of the blob before');
    const { signal, offset, end, follows } = options;
    const lease = follows === undefined ? undefined : { leases, digest, token: follows };
    const answerMs = lease === undefined ? heldAnswerMs : followedAnswerMs;
    if (lease !== undefined) followed.add(edge);
    const call = new PeerCall({
      signal,
      answerMs,
      lease,
      lookEveryMs: leaseMs / 3,
      onClose: () => followed.delete(edge),
    });
    const request = {
      kind: 'blob',
      digest,
      repository,
      publicOnly: options.anonymous === true,
      heldOnly: lease === undefined,
    } as const;
    try {
      const opened = await client.blob(peer, request, { offset, end }, call.signal);
      call.onAnswer();
      if (options.expectedSize !== undefined && opened.size !== options.expectedSize) {
        cooldowns.distrusted.set(edge, true);
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
      logger.debug('a node did not give a blob', {
        digest,
        node: peer.url,
        result: error.result,
        reason: error.message,
      });
      return error;
    }
  }

  /** Passes a stream on; `onEnd` is called once, at its end. */
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
    const { observer } = this.#context;
    const { upstream } = this.#blob;
    try {
      for await (const chunk of this.watch(opened, () => call.close())) {
        call.onBytes(chunk.length);
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
    const { blobs, holders } = this.#context;
    const { digest } = this.#blob;
    await blobs.ended(digest);
    const isHeld = await blobs.isHeld(digest).catch(() => false);
    if (isHeld && this.#givers.size > 0) holders.note(digest);
    if (!isHeld && this.#hasAll) this.#blame();
    this.#givers.clear();
    this.#isWatched = false;
  }

  #blame(): void {
    const { cooldowns, observer, logger } = this.#context;
    const { digest } = this.#blob;
    for (const node of this.#givers) {
      cooldowns.distrusted.set(`${node} ${digest}`, true);
      observer.peerWrong();
      logger.warn('a node gave wrong bytes', { digest, node });
    }
  }
}
