/**
 * `lru.redis`: a URL, or a section for what doesn't fit into one (Sentinel, Cluster, secrets in files). What the keys mean
 * together is `redis-rules.ts`' business. No message repeats a value that may hold a password.
 */
import { z } from 'zod';
import { parseHost } from './address.ts';
import type { ListenAddress } from './config.ts';
import { leaf, secret, text } from './leaf.ts';
import { isSection } from './path.ts';
import { ValueError } from './value-error.ts';

export interface RedisUrl {
  readonly address: ListenAddress;
  readonly tls: boolean;
  readonly username?: string;
  readonly password?: string;
  readonly database: number;
}

const redisPort = 6379;
const sentinelPort = 26379;

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

const addresses = (defaultPort: number) =>
  z
    .array(leaf(value => parseAddress(value, defaultPort)))
    .min(1)
    .optional();

export const redisSchema = z
  .preprocess(
    value => (isSection(value) ? value : { url: value }),
    z.strictObject({
      url: leaf(parseRedisUrl).optional(),
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

export type ParsedRedis = NonNullable<z.output<typeof redisSchema>>;
