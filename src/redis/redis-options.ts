/** How ioredis is set up, for a single server, Sentinel and Cluster: fail soon, queue nothing, come back for ever. */
import type { ClusterOptions, RedisOptions } from 'ioredis';
import type { RedisConfig } from '../config/config.ts';

/** Milliseconds. A hit never waits for Redis; this is what everything else waits at most. */
const commandTimeoutMs = 250;
const connectTimeoutMs = 2000;
const longestPauseMs = 2000;

function pauseMs(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt, 10), longestPauseMs) * (0.75 + Math.random() / 4);
}

function common(redis: RedisConfig) {
  const { username, password, ca, tls } = redis;
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls && { tls: ca === undefined ? {} : { ca } }),
    commandTimeout: commandTimeoutMs,
    connectTimeout: connectTimeoutMs,
    maxRetriesPerRequest: 1,
    enableReadyCheck: false, // it asks INFO, which an ACL user may not have; the heartbeat asks more
    disableClientInfo: true,
    protocol: 2 as const, // a server that is too old must get as far as being asked for its version
    connectionName: 'cistern',
  } satisfies RedisOptions;
}

/** For a single server, or one that Sentinels know. */
export function clientOptions(redis: RedisConfig) {
  const { addresses, sentinelName, sentinelUsername, sentinelPassword, ca } = redis;
  const base = {
    ...common(redis),
    db: redis.database,
    enableOfflineQueue: false,
    retryStrategy: pauseMs,
  } satisfies RedisOptions;
  if (redis.mode !== 'sentinel') return { ...base, ...addresses[0] };
  return {
    ...base,
    sentinels: addresses.map(({ host, port }) => ({ host, port })),
    ...(sentinelName !== undefined && { name: sentinelName }),
    ...(sentinelUsername !== undefined && { sentinelUsername }),
    ...(sentinelPassword !== undefined && { sentinelPassword }),
    ...(redis.tls && { enableTLSForSentinelMode: true, sentinelTLS: ca === undefined ? {} : { ca } }),
    sentinelCommandTimeout: connectTimeoutMs,
    sentinelRetryStrategy: pauseMs,
  } satisfies RedisOptions;
}

const passThrough = (host: string, done: (error: null, address: string) => void): void => done(null, host);

export function clusterOptions(redis: RedisConfig) {
  return {
    redisOptions: common(redis),
    enableOfflineQueue: false,
    enableReadyCheck: true, // CLUSTER INFO: the slots are all there
    clusterRetryStrategy: pauseMs,
    slotsRefreshTimeout: connectTimeoutMs,
    maxRedirections: 4,
    // Certificates are for names: they are looked up by the TLS connection itself.
    ...(redis.tls && { dnsLookup: passThrough }),
  } satisfies ClusterOptions;
}
