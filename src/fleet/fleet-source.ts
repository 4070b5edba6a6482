/**
 * One blob of one upstream as the fleet can have it: from a node that holds it, from the node that downloads it (followed while its file
 * grows), or from the upstream under the lease, so that the other nodes follow this one.
 *
 * A part (`end` without `isWhole`) is for one client: it comes from a node that has it or soon will, else from the upstream without a lease.
 *
 * Guarantees: what a node doesn't give costs one request and comes from elsewhere; without Redis it is the upstream's source. Only the node
 * with the lease is followed, and that node reads from the upstream, so nodes never wait for each other in a circle. Bytes are unverified.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Digest } from '../oci/digest.ts';
import type { BlobSource, OpenedSource } from '../registry/registry.ts';
import { PeerError } from './peers/peer-client.ts';
import type { PeerReading, TransferContext } from './peers/peer-reading.ts';
import type { Lease } from './redis/blob-leases.ts';
import type { Peer } from './redis/nodes.ts';

type OpenOptions = Parameters<BlobSource['open']>[1];
type TheirLease = Extract<Lease, { kind: 'theirs' }>;

/** Between two looks at a lease whose node can't be reached. */
const pollMs = 200;
const maxRefusals = 3;
/** A node that has less of the blob looks less often, so that the lease of a dead node goes to the one that has most. */
const lagMs = 800;

export class FleetSource {
  readonly #context: TransferContext;
  readonly #source: BlobSource;
  readonly #digest: Digest;
  readonly #reading: PeerReading;
  /** Tokens of leases whose nodes are alive and gave nothing (the upstream is asked beside them), and holders that gave nothing. */
  readonly #fruitless = new Set<string>();
  /** By token: how often that node had nothing. It may have failed just now and be about to give the lease back. */
  readonly #refusals = new Map<string, number>();

  constructor(context: TransferContext, source: BlobSource, digest: Digest, reading: PeerReading) {
    this.#context = context;
    this.#source = source;
    this.#digest = digest;
    this.#reading = reading;
  }

  /** Errors: UpstreamError; the signal's reason. */
  async open(offset: number, options: OpenOptions): Promise<OpenedSource> {
    const { leases, leaseMs } = this.#context;
    this.#reading.begin(offset);
    const tried = new Set<string>();
    const missing = new Set<string>();
    const isPart = options.end !== undefined && options.isWhole !== true;
    const giveUpAt = performance.now() + 1.5 * leaseMs; // by then a dead node's lease has expired
    for (let how: 'look' | 'take' | 'insist' = isPart ? 'look' : 'take'; ; ) {
      const lease = await leases.acquire(this.#digest, how, missing);
      options.signal.throwIfAborted();
      if (lease.kind === 'away' || lease.kind === 'ours') return this.#fromUpstream(offset, options, !isPart);
      const holders = lease.holders.filter(({ node }) => !tried.has(node) && !this.#fruitless.has(node));
      const held = await this.#fromHolders(holders, missing, offset, options);
      if (held !== undefined) return held;
      for (const { node } of holders) tried.add(node);
      if (lease.kind === 'free') {
        if (isPart) return this.#fromUpstream(offset, options, false);
        how = 'insist';
        continue;
      }
      const followed = await this.#follow(lease, offset, options);
      if (typeof followed !== 'string') return followed;
      if (isPart) return this.#fromUpstream(offset, options, false);
      if (performance.now() > giveUpAt) this.#giveUp(lease);
      if (this.#fruitless.has(lease.token)) return this.#fromUpstream(offset, options, false);
      const waitMs = followed === 'unreachable' ? pollMs + missingShare(offset, options) * lagMs : pollMs;
      await delay(waitMs, undefined, { signal: options.signal });
    }
  }

  /** `isLeased`: for the whole fleet. Also while Redis is away: the lease is taken when it is back. */
  async #fromUpstream(offset: number, options: OpenOptions, isLeased: boolean): Promise<OpenedSource> {
    const end = isLeased ? this.#context.renewals.begin(this.#digest) : () => {};
    options.signal.addEventListener('abort', end, { once: true }); // also when the stream is never read
    try {
      const opened = await this.#source.open(offset, options);
      return { ...opened, stream: this.#reading.watch(opened, end) };
    } catch (error) {
      end();
      throw error;
    }
  }

  /** Nodes that turn out not to hold the blob are added to `missing`. */
  async #fromHolders(
    holders: readonly Peer[],
    missing: Set<string>,
    offset: number,
    options: OpenOptions,
  ): Promise<OpenedSource | undefined> {
    const { resting } = this.#context.cooldowns;
    for (const peer of holders) {
      if (resting.has(peer.node)) continue;
      const onFruitless = (): void => void this.#fruitless.add(peer.node);
      const opened = await this.#reading.open(peer, { ...options, offset, onFruitless });
      if (!(opened instanceof PeerError)) return opened;
      const { result } = opened;
      if (result === 'missing' || result === 'wrong') missing.add(peer.node);
      else resting.set(peer.node, true);
    }
    return undefined;
  }

  /** `unreachable` or `refused`: that node doesn't give it, at least not now. */
  async #follow(
    { owner, token }: TheirLease,
    offset: number,
    options: OpenOptions,
  ): Promise<OpenedSource | 'unreachable' | 'refused'> {
    if (owner !== undefined && this.#context.cooldowns.unreachable.has(owner.node))
      this.#fruitless.add(token);
    if (this.#fruitless.has(token)) return 'refused';
    if (owner === undefined) return 'unreachable';
    const onFruitless = (): void => void this.#fruitless.add(token);
    const opened = await this.#reading.open(owner, { ...options, offset, follows: token, onFruitless });
    if (!(opened instanceof PeerError)) return opened;
    const refusals = (this.#refusals.get(token) ?? 0) + 1;
    this.#refusals.set(token, refusals);
    if (opened.result === 'unreachable') return 'unreachable';
    if (opened.result !== 'missing' || refusals >= maxRefusals) this.#fruitless.add(token);
    return 'refused';
  }

  /** The lease has outlived a dead node's: its node is alive, and can't be reached. */
  #giveUp({ owner, token }: TheirLease): void {
    const { cooldowns, logger } = this.#context;
    this.#fruitless.add(token);
    if (owner === undefined) return;
    cooldowns.unreachable.set(owner.node, true);
    logger.warn('a node of the fleet is alive and cannot be reached, check its fleet.advertise', {
      node: owner.url,
    });
  }
}

/** 0 … 1: which share of the blob isn't here. */
function missingShare(offset: number, { expectedSize }: OpenOptions): number {
  return expectedSize === undefined || expectedSize === 0 ? 1 : 1 - offset / expectedSize;
}
