/**
 * One blob of one upstream as the whole fleet can have it: from a node that holds it, from the node that is getting it
 * (followed while it grows), and only then from the upstream, with the lease, so that the others follow this node.
 *
 * A part (`end` given, and not as a gap of the whole) is for one client: it is taken from a node that has it or soon will, else from the upstream without a
 * lease, since nobody could follow a part.
 *
 * Guarantees: what a node can't or won't give costs one question and is had elsewhere; without Redis it is the upstream's
 * source and nothing else; only the node that has the lease is followed, and that one reads from an upstream, so nodes
 * never wait for each other in a circle. Bytes come unverified, as from any source.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Digest } from '../oci/digest.ts';
import type { BlobSource, OpenedSource } from '../registry/registry.ts';
import type { Logger } from '../telemetry/logger.ts';
import { PeerError } from './peers/peer-client.ts';
import type { PeerCooldown } from './peers/peer-cooldown.ts';
import type { PeerReading } from './peers/peer-reading.ts';
import type { BlobLeases, Claim } from './redis/blob-leases.ts';
import type { LeaseRenewals } from './redis/lease-renewal.ts';
import type { Peer } from './redis/nodes.ts';

export interface FleetSourceOptions {
  readonly claims: BlobLeases;
  readonly leads: LeaseRenewals;
  /** Nodes that live and couldn't be reached: nobody waits for them again so soon. */
  readonly unreachable: PeerCooldown;
  /** Nodes that hold something and didn't answer just now. */
  readonly resting: PeerCooldown;
  readonly logger: Logger;
  readonly leaseMs: number;
}

type OpenOptions = Parameters<BlobSource['open']>[1];

/** Between two looks at a lease whose node can't be reached. */
const pollMs = 200;
const maxRefusals = 3;
/** Who has less of the blob looks less often: the lease of a dead node should go to the one that has most. */
const lagMs = 800;

export class FleetSource implements BlobSource {
  readonly upstream: string;
  readonly repository: string;
  readonly #options: FleetSourceOptions;
  readonly #source: BlobSource;
  readonly #digest: Digest;
  readonly #reading: PeerReading;
  /** Leases whose nodes gave nothing although they live (the upstream is asked beside them), and such holders. */
  readonly #fruitless = new Set<string>();
  /** How often the node of a lease said that it has nothing: it may have failed a moment ago, and give the lease back. */
  readonly #refusals = new Map<string, number>();

  constructor(options: FleetSourceOptions, source: BlobSource, digest: Digest, reading: PeerReading) {
    this.#options = options;
    this.#source = source;
    this.#digest = digest;
    this.#reading = reading;
    this.upstream = source.upstream;
    this.repository = source.repository;
  }

  /** Errors: UpstreamError; the signal's reason. */
  async open(offset: number, options: OpenOptions): Promise<OpenedSource> {
    const { claims, leaseMs } = this.#options;
    this.#reading.begin(offset);
    const tried = new Set<string>();
    const gone = new Set<string>();
    const isPart = options.end !== undefined && options.isWhole !== true;
    const giveUpAt = performance.now() + 1.5 * leaseMs; // by then a dead node's lease has run out
    for (let how: 'look' | 'take' | 'insist' = isPart ? 'look' : 'take'; ; ) {
      const claim = await claims.claim(this.#digest, how, gone);
      options.signal.throwIfAborted();
      if (claim.kind === 'away' || claim.kind === 'ours') return this.#fromUpstream(offset, options, !isPart);
      const holders = claim.holders.filter(({ node }) => !tried.has(node) && !this.#fruitless.has(node));
      const held = await this.#fromHolders(holders, gone, offset, options);
      if (held !== undefined) return held;
      for (const { node } of holders) tried.add(node);
      if (claim.kind === 'nobody') {
        if (isPart) return this.#fromUpstream(offset, options, false);
        how = 'insist';
        continue;
      }
      const followed = await this.#follow(claim, offset, options);
      if (typeof followed !== 'string') return followed;
      if (isPart) return this.#fromUpstream(offset, options, false);
      if (performance.now() > giveUpAt) this.#giveUp(claim);
      if (this.#fruitless.has(claim.token)) return this.#fromUpstream(offset, options, false);
      const patienceMs = followed === 'unreachable' ? pollMs + lagOf(offset, options) * lagMs : pollMs;
      await delay(patienceMs, undefined, { signal: options.signal });
    }
  }

  /** `isLead`: for the whole fleet, under the lease. Also without Redis: the lease is taken when it is back. */
  async #fromUpstream(offset: number, options: OpenOptions, isLead: boolean): Promise<OpenedSource> {
    const end = isLead ? this.#options.leads.begin(this.#digest) : () => {};
    options.signal.addEventListener('abort', end, { once: true }); // also when nobody reads the stream
    try {
      const opened = await this.#source.open(offset, options);
      return { ...opened, stream: this.#reading.watch(opened, end) };
    } catch (error) {
      end();
      throw error;
    }
  }

  /** Who turned out not to hold it is added to `gone`. */
  async #fromHolders(
    holders: readonly Peer[],
    gone: Set<string>,
    offset: number,
    options: OpenOptions,
  ): Promise<OpenedSource | undefined> {
    const { resting } = this.#options;
    for (const peer of holders) {
      if (resting.has(peer.node)) continue;
      const onFruitless = (): void => void this.#fruitless.add(peer.node);
      const opened = await this.#reading.open(peer, { ...options, offset, onFruitless });
      if (!(opened instanceof PeerError)) return opened;
      const { result } = opened;
      if (result === 'missing' || result === 'wrong') gone.add(peer.node);
      else resting.add(peer.node);
    }
    return undefined;
  }

  /** A word: not from there, at least not now. */
  async #follow(
    { owner, token }: Extract<Claim, { kind: 'theirs' }>,
    offset: number,
    options: OpenOptions,
  ): Promise<OpenedSource | 'unreachable' | 'refused'> {
    if (owner !== undefined && this.#options.unreachable.has(owner.node)) this.#fruitless.add(token);
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

  /** Its lease has outlived a dead node's: it lives, and can't be had. */
  #giveUp({ owner, token }: Extract<Claim, { kind: 'theirs' }>): void {
    const { unreachable, logger } = this.#options;
    this.#fruitless.add(token);
    if (owner === undefined) return;
    unreachable.add(owner.node);
    logger.warn('a node of the fleet lives and cannot be reached: is its fleet.advertise right?', {
      node: owner.url,
    });
  }
}

/** 0 … 1: which share of the blob isn't here. */
function lagOf(offset: number, { expectedSize }: OpenOptions): number {
  return expectedSize === undefined || expectedSize === 0 ? 1 : 1 - offset / expectedSize;
}
