/** Turns a checked `lru` section into its configuration: one form for URL, Sentinel and Cluster, with the secrets in it. */
import type { LruConfig, RedisConfig } from './config.ts';
import { formatPath } from './path.ts';
import type { ParsedRedis } from './redis-schema.ts';
import type { ParsedFile } from './schema.ts';

/** `files`: text of the files that keys name, by the formatted path of the key. */
export function assembleLru(lru: ParsedFile['lru'], files: ReadonlyMap<string, string>): LruConfig {
  const { redis, required } = lru;
  return { ...(redis !== undefined && { redis: assembleRedis(redis, files) }), required };
}

function assembleRedis(redis: ParsedRedis, files: ReadonlyMap<string, string>): RedisConfig {
  const { url, sentinels, cluster } = redis;
  const fileAt = (key: string): string | undefined => files.get(formatPath(['lru', 'redis', key]));
  const username = url?.username ?? redis.username;
  const password = url?.password ?? redis.password ?? fileAt('password_file');
  const sentinelPassword = redis.sentinel_password ?? fileAt('sentinel_password_file');
  const ca = fileAt('ca_file');
  return {
    mode: url !== undefined ? 'single' : sentinels !== undefined ? 'sentinel' : 'cluster',
    addresses: url === undefined ? (sentinels ?? cluster ?? []) : [url.address],
    ...(redis.sentinel_name !== undefined && { sentinelName: redis.sentinel_name }),
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(redis.sentinel_username !== undefined && { sentinelUsername: redis.sentinel_username }),
    ...(sentinelPassword !== undefined && { sentinelPassword }),
    database: url?.database ?? redis.database ?? 0,
    tls: url?.tls ?? redis.tls ?? false,
    ...(ca !== undefined && { ca }),
  };
}
