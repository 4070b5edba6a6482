/**
 * One node of a fleet: its heartbeat, its leases and hints in Redis, its client for the other nodes, and the upstreams seen through all of that.
 * Nothing waits for Redis: while it is away this node works like a mirror without a fleet. When Redis is back, or was restarted empty, the
 * node's entry, leases and hints are written again.
 */
import { randomBytes } from 'node:crypto';
import { ExpiringMap } from '../lib/expiring-map.ts';
import type { RateLimit } from '../oci/rate-limit.ts';
import { mapOrigin, type Origin } from '../registry/origin.ts';
import type { PeerGate } from '../registry/peer.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { FleetObserver } from '../telemetry/observer.ts';
import { FleetOrigin } from './fleet-origin.ts';
import { PeerClient } from './peers/peer-client.ts';
import { PeerManifests } from './peers/peer-manifests.ts';
import type { TransferContext } from './peers/peer-reading.ts';
import { BlobLeases } from './redis/blob-leases.ts';
import { FleetKeys, FleetRedis, type RedisCaller } from './redis/fleet-redis.ts';
import { Holders } from './redis/holders.ts';
import { LeaseRenewals, type LocalBlobs } from './redis/lease-renewal.ts';
import { Nodes } from './redis/nodes.ts';
import { SharedPullQuota } from './redis/shared-pull-quota.ts';
import { SharedTags } from './redis/shared-tags.ts';
import { RequestSignatures, SignedValues } from './signature.ts';

export interface FleetOptions {
  readonly name: string;
  readonly secret: string;
  /** Where the other nodes reach this one. Without a trailing slash. */
  readonly advertise: string;
  /** Id of the store: 16 hex digits. */
  readonly node: string;
  readonly redis: RedisCaller;
  readonly blobs: LocalBlobs;
  readonly observer: FleetObserver;
  readonly logger: Logger;
  /** For how long another node's answer about a tag counts. Milliseconds. */
  readonly tagTtlMs: number;
  /** Another node that uses up the same pull quota has read what is left of it. */
  onRateLimit(upstream: string, limit: RateLimit): void;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Absent: `defaultTimes`. */
  readonly times?: FleetTimes;
}

export interface FleetTimes {
  readonly leaseMs: number;
  readonly heartbeatMs: number;
}

/** The others wait for at most a lease's life for a node that dies in the middle of a download. */
export const defaultTimes: FleetTimes = { leaseMs: 5000, heartbeatMs: 2000 };

const distrustMs = 10 * 60_000;
const unreachableMs = 60_000;
const restMs = 10_000;
const maxCooldowns = 1000;

export class Fleet {
  /** How long a node may wait for others before it asks the upstream itself: a lease's life, and another one for the next node. */
  readonly patienceMs: number;
  readonly redis: FleetRedis;
  readonly nodes: Nodes;
  readonly renewals: LeaseRenewals;
  readonly holders: Holders;
  readonly gate: PeerGate;
  readonly pullQuota: SharedPullQuota;
  readonly #tags: SharedTags;
  readonly #manifests: PeerManifests;
  readonly #transfers: TransferContext;
  readonly #client: PeerClient;
  readonly #heartbeatMs: number;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: FleetOptions) {
    const { name, secret, advertise, node, blobs, observer, logger, now, times = defaultTimes } = options;
    const { leaseMs, heartbeatMs } = times;
    this.patienceMs = 2 * leaseMs;
    this.#heartbeatMs = heartbeatMs;
    const keys = new FleetKeys(name);
    const signedValues = new SignedValues(secret);
    const redis = new FleetRedis({
      redis: options.redis,
      logger,
      clock: () => performance.now(),
      onUpChange: isUp => this.#onUpChange(isUp),
    });
    const commands = () => redis.commands();
    this.redis = redis;
    this.nodes = new Nodes({
      redis,
      keys,
      signedValues,
      logger,
      self: { node, url: advertise },
      heartbeatMs,
    });
    this.#tags = new SharedTags({
      redis: commands,
      key: tag => keys.tag(tag),
      signedValues,
      node,
      ttlMs: options.tagTtlMs,
      now,
    });
    this.pullQuota = new SharedPullQuota({
      redis: commands,
      key: source => keys.pullQuota(source),
      onReading: options.onRateLimit,
      now,
    });
    const token = `${node}.${randomBytes(12).toString('hex')}`;
    const leases = new BlobLeases({ redis, keys, nodes: this.nodes, token, leaseMs });
    const renewMs = leaseMs / 3;
    this.renewals = new LeaseRenewals({ leases, blobs, logger, renewMs, onLost: () => observer.leaseLost() });
    this.holders = new Holders({ redis, keys, node, now, isHeld: blobs.isHeld });
    const signatures = new RequestSignatures({ secret, node, now });
    const client = new PeerClient(signatures, observer);
    this.#client = client;
    this.#manifests = new PeerManifests({ leases, client, blobs });
    const cooldown = (ttlMs: number) =>
      new ExpiringMap<string, true>({ maxEntries: maxCooldowns, ttlMs, now });
    const followed = new Set<string>();
    this.#transfers = {
      leases,
      renewals: this.renewals,
      holders: this.holders,
      client,
      cooldowns: {
        distrusted: cooldown(distrustMs),
        unreachable: cooldown(unreachableMs),
        resting: cooldown(restMs),
      },
      followed,
      blobs,
      observer,
      logger,
      leaseMs,
    };
    this.gate = {
      authenticate: (request, authorization) => {
        const asker = signatures.verify(request, authorization);
        if (asker === undefined) observer.unsignedRefused();
        return asker;
      },
      isFollowing: (asker, digest) => followed.has(`${asker} ${digest}`),
      served: bytes => observer.peerServed(bytes),
    };
  }

  /** Waits for nothing. */
  start(): void {
    this.#timer = setInterval(() => this.#beat(), this.#heartbeatMs).unref();
    this.#beat();
  }

  /** To be called when Redis may be back: it is asked now, not at the next heartbeat. */
  probeRedis(): void {
    this.#beat();
  }

  /** The upstream as the fleet sees it. */
  origin(origin: Origin): Origin {
    const seen = new FleetOrigin(origin, {
      transfers: this.#transfers,
      manifests: this.#manifests,
      tags: this.#tags,
      pullQuota: this.pullQuota,
    });
    return mapOrigin(origin, seen);
  }

  /** The downloads have ended. Idempotent. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#isClosed = true;
    await this.#client.close();
    await this.renewals.close();
    await this.holders.close();
    await this.#beating;
    await this.nodes.leave();
  }

  #beat(): void {
    if (this.#isClosed) return;
    this.#beating ??= this.nodes
      .beat()
      .then(outcome => {
        if (outcome === 'lost') this.#announceAll();
        return outcome === 'away' ? undefined : this.pullQuota.refresh();
      })
      .finally(() => {
        this.#beating = undefined;
      });
  }

  #onUpChange(isUp: boolean): void {
    if (isUp) this.#announceAll();
    else setImmediate(() => this.#beat()); // a single command may have been late: probe before the next heartbeat
  }

  #announceAll(): void {
    this.holders.announceAll();
    void this.renewals.renew();
  }
}
