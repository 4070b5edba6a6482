/** How ioredis is set up, for a single server, Sentinel and Cluster: fail soon, queue nothing, reconnect for ever. */
import type { ClusterOptions, RedisOptions } from 'ioredis';
import type { RedisConfig } from '../config/config.ts';

/** A hit never waits for Redis; everything else waits this long at most. */
const commandTimeoutMs = 250;
const connectTimeoutMs = 2000;
const maxReconnectDelayMs = 2000;

function reconnectDelayMs(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt, 10), maxReconnectDelayMs) * (0.75 + Math.random() / 4);
}

function commonOptions(redis: RedisConfig) {
  const { username, password, ca, tls } = redis;
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls && { tls: ca === undefined ? {} : { ca } }),
    commandTimeout: commandTimeoutMs,
    connectTimeout: connectTimeoutMs,
    maxRetriesPerRequest: 1,
    enableReadyCheck: false, // it sends INFO, which an ACL user may not have; the heartbeat checks more
    disableClientInfo: true,
    protocol: 2 as const, // a server that is too old must still tell its version
    connectionName: 'cistern',
  } satisfies RedisOptions;
}

/** For a single server, or one that Sentinels know. */
export function clientOptions(redis: RedisConfig) {
  const { addresses, sentinelName, sentinelUsername, sentinelPassword, ca } = redis;
  const base = {
    ...commonOptions(redis),
    db: redis.database,
    enableOfflineQueue: false,
    retryStrategy: reconnectDelayMs,
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
    sentinelRetryStrategy: reconnectDelayMs,
  } satisfies RedisOptions;
}

const keepName = (host: string, done: (error: null, address: string) => void): void => done(null, host);

export function clusterOptions(redis: RedisConfig) {
  return {
    redisOptions: commonOptions(redis),
    enableOfflineQueue: false,
    enableReadyCheck: true, // CLUSTER INFO: the slots are all there
    clusterRetryStrategy: reconnectDelayMs,
    slotsRefreshTimeout: connectTimeoutMs,
    maxRedirections: 4,
    // Certificates are for names: the TLS connection itself resolves them.
    ...(redis.tls && { dnsLookup: keepName }),
  } satisfies ClusterOptions;
}
