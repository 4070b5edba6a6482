/**
 * `lru.redis`: a URL, or a section for what doesn't fit into one (Sentinel, Cluster, secrets in files). Its keys, the rules
 * between them, and the configuration made of them, whatever its form. No message repeats a value that may hold a password.
 */
import { z } from 'zod';
import { parseHost } from '../address.ts';
import type { ListenAddress, RedisConfig } from '../config.ts';
import { checkPassword, type Findings } from '../findings.ts';
import { formatPath, isSection, ValueError, valueAt } from '../problem.ts';
import { parsed, secret, text } from '../schema-values.ts';

export interface RedisUrl {
  readonly address: ListenAddress;
  readonly tls: boolean;
  readonly username?: string;
  readonly password?: string;
  readonly database: number;
}

const redisPort = 6379;
const sentinelPort = 26379;

const ways = ['url', 'sentinels', 'cluster'] as const;
const above = ['lru', 'redis'] as const;

const addresses = (defaultPort: number) =>
  z
    .array(parsed(value => parseAddress(value, defaultPort)))
    .min(1)
    .optional();

export const redisSchema = z
  .preprocess(
    value => (isSection(value) ? value : { url: value }),
    z.strictObject({
      url: parsed(parseRedisUrl).optional(),
      sentinels: addresses(sentinelPort),
      sentinel_name: text.optional(),
      cluster: addresses(redisPort),
      username: text.optional(),
      password: secret.optional(),
      password_file: text.optional(),
      sentinel_username: text.optional(),
      sentinel_password: secret.optional(),
      sentinel_password_file: text.optional(),
      database: z.int().min(0).max(99_999).optional(),
      tls: z.boolean().optional(),
      ca_file: text.optional(),
    }),
  )
  .optional();

type ParsedRedis = NonNullable<z.output<typeof redisSchema>>;

/** `redis://USER:PASSWORD@HOST:PORT/DATABASE`, all but the host optional; `rediss://` is TLS. Errors: `ValueError`. */
export function parseRedisUrl(value: unknown): RedisUrl {
  const match =
    typeof value === 'string'
      ? /^(rediss?):\/\/(?:([^/@?#]*)@)?([^/@?#]+)(?:\/(\d{1,5})?)?$/i.exec(value)
      : null;
  const [, scheme = '', userinfo, host = '', database = '0'] = match ?? [];
  if (match === null) {
    throw new ValueError(
      'expected a URL such as redis://HOST:6379/0 or rediss://USER:PASSWORD@HOST (@ / ? # in a password: %40 %2F %3F %23)',
    );
  }
  return {
    address: parseAddress(host, redisPort),
    tls: scheme.toLowerCase() === 'rediss',
    ...(userinfo !== undefined && parseUserinfo(userinfo)),
    database: Number(database),
  };
}

/** Reads the raw tree, so that a bad value elsewhere hides nothing. */
export function checkRedis(tree: unknown, findings: Findings): void {
  const redis = valueAt(tree, above);
  if (redis === undefined && valueAt(tree, ['lru', 'required']) === true)
    findings.report(['lru', 'required'], 'needs lru.redis', 'key');
  if (!isSection(redis)) return;

  const isGiven = (key: string): boolean => redis[key] !== undefined;
  const refuse = (key: string, message: string): void => findings.report([...above, key], message, 'key');
  const given = ways.filter(isGiven);
  if (given.length === 0) findings.report(above, 'needs one of url, sentinels and cluster');
  for (const key of given.slice(1)) refuse(key, 'give only one of url, sentinels and cluster');

  if (isGiven('sentinels') && !isGiven('sentinel_name'))
    refuse('sentinels', 'needs sentinel_name, the name of the master in the Sentinels');
  if (given.length === 1 && !isGiven('sentinels')) {
    const own = ['sentinel_name', 'sentinel_username', 'sentinel_password', 'sentinel_password_file'];
    for (const key of own.filter(isGiven)) refuse(key, 'needs sentinels');
  }
  if (isGiven('url')) {
    for (const [key, where] of [
      ['tls', 'rediss://'],
      ['database', 'redis://HOST/DATABASE'],
    ] as const)
      if (isGiven(key)) refuse(key, `belongs in the url, as ${where}`);
    const { url } = redis;
    const credentials = ['username', 'password', 'password_file'].filter(isGiven);
    if (typeof url === 'string' && url.includes('@'))
      for (const key of credentials)
        refuse(key, 'give user and password either in the url or in keys, not in both');
  }
  if (isGiven('cluster') && isGiven('database') && redis['database'] !== 0)
    refuse('database', 'a Redis Cluster has only database 0');
  for (const prefix of ['', 'sentinel_']) checkPassword(above, redis, prefix, findings);
}

/** `files`: text of the files that keys name, by the formatted path of the key. */
export function assembleRedis(redis: ParsedRedis, files: ReadonlyMap<string, string>): RedisConfig {
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

function parseUserinfo(userinfo: string): { readonly username?: string; readonly password: string } {
  const colon = userinfo.indexOf(':');
  const [username, password] = [userinfo.slice(0, Math.max(0, colon)), userinfo.slice(colon + 1)].map(decode);
  if (colon === -1 || password === undefined || password === '')
    throw new ValueError('expected a password after the user, as in redis://:PASSWORD@HOST');
  return { ...(username !== undefined && username !== '' && { username }), password };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new ValueError('expected user and password with % written as %25');
  }
}

function parseAddress(value: unknown, defaultPort: number): ListenAddress {
  const [, address, name = '', port] = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/.exec(parseHost(value)) ?? [];
  return { host: address ?? name, port: port === undefined ? defaultPort : Number(port) };
}
