/**
 * One node of a fleet: its heartbeat, its leases and hints in Redis, its way to the other nodes, and the upstreams seen
 * through all of that. Nothing waits for Redis: while it is away this node is a mirror like any other, and when it is
 * back (or was restarted empty) nodes, leases and hints are told again.
 */
import { randomBytes } from 'node:crypto';
import type { RateLimit } from '../oci/rate-limit.ts';
import type { Origin } from '../registry/origin.ts';
import type { PeerGate } from '../registry/peer.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { FleetObserver } from '../telemetry/observer.ts';
import { FleetOrigin } from './fleet-origin.ts';
import { PeerClient } from './peers/peer-client.ts';
import { PeerCooldown } from './peers/peer-cooldown.ts';
import { PeerManifests } from './peers/peer-manifests.ts';
import { Signatures } from './peers/signature.ts';
import { BlobLeases } from './redis/blob-leases.ts';
import { FleetKeys } from './redis/fleet-keys.ts';
import { FleetRedis, type RedisCaller } from './redis/fleet-redis.ts';
import { Holders } from './redis/holders.ts';
import { type Holdings, LeaseRenewals } from './redis/lease-renewal.ts';
import { Nodes } from './redis/nodes.ts';
import { SharedPullQuota } from './redis/shared-pull-quota.ts';
import { SharedTags } from './redis/shared-tags.ts';
import { SignedValues } from './redis/signed-value.ts';
import { TagOrigin } from './tag-origin.ts';

export interface FleetOptions {
  readonly name: string;
  readonly secret: string;
  /** Where the others reach this node. Without a trailing slash. */
  readonly advertise: string;
  /** Of the store: 16 hex digits. */
  readonly node: string;
  readonly redis: RedisCaller;
  readonly holdings: Holdings;
  readonly observer: FleetObserver;
  readonly logger: Logger;
  /** How long a node's word about a tag is taken. Milliseconds. */
  readonly tagTtlMs: number;
  /** Another node, counted with this one, has read what is left of the pull limit. */
  onRateLimit(upstream: string, limit: RateLimit): void;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Left out: `defaultTimes`. Milliseconds. */
  readonly times?: FleetTimes;
}

export interface FleetTimes {
  readonly leaseMs: number;
  readonly heartbeatMs: number;
}

/** A node that dies in the middle of a download holds the others up for at most a lease's life. */
export const defaultTimes: FleetTimes = { leaseMs: 5000, heartbeatMs: 2000 };

const distrustMs = 10 * 60_000;
const unreachableMs = 60_000;
const restMs = 10_000;

export class Fleet {
  readonly redis: FleetRedis;
  readonly keys: FleetKeys;
  readonly seal: SignedValues;
  readonly nodes: Nodes;
  readonly leads: LeaseRenewals;
  readonly holders: Holders;
  readonly gate: PeerGate;
  readonly budget: SharedPullQuota;
  readonly #tags: SharedTags;
  readonly #options: FleetOptions;
  readonly #times: FleetTimes;
  readonly #claims: BlobLeases;
  readonly #client: PeerClient;
  readonly #distrusted: PeerCooldown;
  readonly #unreachable: PeerCooldown;
  readonly #resting: PeerCooldown;
  readonly #following = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: FleetOptions) {
    const { name, secret, advertise, node, observer, logger, now, holdings } = options;
    this.#options = options;
    this.#times = options.times ?? defaultTimes;
    const { leaseMs, heartbeatMs } = this.#times;
    this.keys = new FleetKeys(name);
    this.seal = new SignedValues(secret);
    const redis = new FleetRedis({
      redis: options.redis,
      logger,
      clock: () => performance.now(),
      onTurn: isUp => this.#turned(isUp),
    });
    this.redis = redis;
    const { keys, seal } = this;
    this.nodes = new Nodes({ redis, keys, seal, logger, self: { node, url: advertise }, heartbeatMs });
    const shared = { redis: () => redis.commands(), seal, node, now };
    const { tagTtlMs: ttlMs, onRateLimit: onReading } = options;
    this.#tags = new SharedTags({ ...shared, key: name => keys.tag(name), ttlMs });
    this.budget = new SharedPullQuota({ ...shared, key: source => keys.budget(source), onReading });
    const token = `${node}.${randomBytes(12).toString('hex')}`;
    this.#claims = new BlobLeases({ redis, keys, nodes: this.nodes, token, leaseMs });
    const { isHeld } = holdings;
    this.holders = new Holders({ redis, keys, node, now, isHeld });
    this.leads = new LeaseRenewals({
      claims: this.#claims,
      holdings,
      logger,
      renewMs: leaseMs / 3,
      onLost: () => observer.leaseLost(),
    });
    const signatures = new Signatures({ secret, node, now });
    this.#client = new PeerClient({ signatures, observer });
    this.#distrusted = new PeerCooldown(distrustMs, now);
    this.#unreachable = new PeerCooldown(unreachableMs, now);
    this.#resting = new PeerCooldown(restMs, now);
    this.gate = {
      admit: (request, authorization) => {
        const asker = signatures.verify(request, authorization);
        if (asker === undefined) observer.unsignedRefused();
        return asker;
      },
      isFollowing: (asker, digest) => this.#following.has(`${asker} ${digest}`),
      served: bytes => observer.peerServed(bytes),
    };
  }

  /** Waits for nothing. */
  start(): void {
    this.#timer = setInterval(() => this.#beat(), this.#times.heartbeatMs).unref();
    this.#beat();
  }

  /** To be called when Redis may be back: it is asked now, not at the next heartbeat. */
  probeRedis(): void {
    this.#beat();
  }

  /** The upstream, with the fleet in front of it. */
  origin(origin: Origin): Origin {
    const { observer, logger, holdings } = this.#options;
    const parts = { claims: this.#claims, client: this.#client, holdings };
    const manifests = new PeerManifests(parts);
    const seen = new FleetOrigin(origin, {
      ...parts,
      manifests,
      leads: this.leads,
      holders: this.holders,
      distrusted: this.#distrusted,
      unreachable: this.#unreachable,
      resting: this.#resting,
      following: this.#following,
      observer,
      logger,
      leaseMs: this.#times.leaseMs,
    });
    return new TagOrigin(seen, {
      tags: this.#tags,
      budget: this.budget,
      findManifest: (repository, digest, signal) => manifests.find(repository, digest, signal),
    });
  }

  /** Idempotent. The downloads have ended. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#isClosed = true;
    await this.#client.close();
    await this.leads.close();
    await this.holders.close();
    await this.#beating;
    await this.nodes.leave();
  }

  #beat(): void {
    if (this.#isClosed) return;
    this.#beating ??= this.nodes
      .beat()
      .then(outcome => {
        if (outcome === 'lost') this.#tellAll();
        return outcome === 'away' ? undefined : this.budget.refresh();
      })
      .finally(() => {
        this.#beating = undefined;
      });
  }

  #turned(isUp: boolean): void {
    if (isUp) this.#tellAll();
    else setImmediate(() => this.#beat()); // a single command may have been late: don't stay alone till the next heartbeat
  }

  #tellAll(): void {
    this.holders.announceAll();
    void this.leads.renew();
  }
}
