/**
 * Every key of `mirror.yml` with its kind and its default, spelled as users spell it. Unknown keys are issues. Keys of later
 * versions stand here too: they stop the start with a sentence instead of being ignored.
 */
import { z } from 'zod';
import { HUB } from '../oci/name.ts';
import {
  parseAddressBlock,
  parseFolderPath,
  parseHeaderName,
  parseHost,
  parseListenAddress,
  parseMetricsPath,
  parseNamePattern,
  parsePattern,
  parsePrefix,
  parseProxySetting,
  parsePublicUrl,
  parseRegistryHost,
  parseTagPattern,
  parseUpstreamUrl,
} from './address.ts';
import { isSection, refusal } from './problem.ts';
import {
  duration,
  parseDuration,
  parsed,
  parsePercentage,
  parseRate,
  parseSize,
  secret,
  text,
  word,
} from './schema-values.ts';
import { accessSchema } from './sections/access.ts';
import { fleetSchema } from './sections/fleet.ts';
import { hostedSchema } from './sections/hosted.ts';
import { notificationSchema } from './sections/notifications.ts';
import { redisSchema } from './sections/redis.ts';
import { tlsSchema } from './sections/tls.ts';
import { tracingSchema } from './sections/tracing.ts';
import { warmSchema } from './sections/warm.ts';

const day = 86_400_000;

const flag = z.boolean();
const timeout = duration({ shortest: 1, longest: day });
/** RFC 7617 2: a user-id holds no colon. */
function parseUsername(value: unknown): string {
  if (typeof value === 'string' && value !== '' && !value.includes(':')) return value;
  throw refusal('a name without a colon (numbers in quotes)', value);
}

/** YAML 1.2 reads `on` and `off` as text. */
const onOff = parsed((value): boolean => {
  if (value === true || value === 'on' || value === 'true') return true;
  if (value === false || value === 'off' || value === 'false') return false;
  throw refusal('on or off', value);
});

/** An address, or a section with it. */
const listenEntry = z.preprocess(
  value => (isSection(value) ? value : { address: value }),
  z.strictObject({
    address: parsed(parseListenAddress),
    tls: flag.optional(),
    login: onOff.prefault('on'),
  }),
);

const httpSchema = z.strictObject({
  listen: z
    .preprocess(value => (Array.isArray(value) ? value : [value]), z.array(listenEntry).min(1))
    .prefault('[::]:5000'),
  public_url: parsed(parsePublicUrl).optional(),
  names: z.array(parsed(parseHost)).prefault([]),
  trusted_proxies: z.array(parsed(parseAddressBlock)).prefault([]),
  tls: tlsSchema,
  drain: duration({ longest: day }).prefault('30s'),
  max_connections: z.int().min(0).max(1_000_000).prefault(0),
  accel: z
    .strictObject({
      header: parsed(parseHeaderName).prefault('X-Accel-Redirect'),
      prefix: parsed(parseFolderPath).prefault('/_blobs/'),
    })
    .optional(),
});

const storeSchema = z.strictObject({
  path: text.prefault('./data'),
  max_size: parsed(parseSize).prefault('50GiB'),
  min_free: parsed(parseSize).optional(),
  low_watermark: parsed(parsePercentage).prefault('90%'),
  partial_ttl: duration().prefault('7d'),
  verify_after: duration().prefault('30d'),
  records_ttl: duration().prefault('180d'),
  scrub: z
    .strictObject({
      every: duration().prefault('30d'),
      rate: parsed(parseRate).prefault('20MiB/s'),
    })
    .prefault({}),
});

const lruSchema = z.strictObject({
  redis: redisSchema,
  required: flag.prefault(false),
});

const credentialsSchema = z.strictObject({
  repositories: z.array(parsed(parsePattern)).min(1),
  username: parsed(parseUsername),
  password: secret.optional(),
  password_file: text.optional(),
});

/** Of the program `docker-credential-NAME`. */
function parseHelper(value: unknown): string {
  if (typeof value === 'string' && /^[A-Za-z0-9][\w.-]*$/.test(value)) return value;
  throw refusal('the name of a helper, such as ecr-login for docker-credential-ecr-login', value);
}

export const upstreamSchema = z.strictObject({
  url: z
    .preprocess(value => (Array.isArray(value) ? value : [value]), z.array(parsed(parseUpstreamUrl)).min(1))
    .optional(),
  username: parsed(parseUsername).optional(),
  password: secret.optional(),
  password_file: text.optional(),
  share: word('public', 'all').prefault('public'),
  credential_helper: parsed(parseHelper).optional(),
  credential_helper_ttl: duration({ shortest: 1000 }).prefault('1h'),
  credentials: z.array(credentialsSchema).prefault([]),
  ca_file: text.optional(),
  client_cert: text.optional(),
  client_key: text.optional(),
  prefix: parsed(parsePrefix).optional(),
  insecure: flag.prefault(false),
  proxy: parsed(parseProxySetting).optional(),
  ip: word('any', 4, 6).prefault('any'),
  token_hosts: z.array(parsed(parseHost)).prefault([]),
  aliases: z.array(parsed(parseRegistryHost)).prefault([]),
  allow: z.array(parsed(parsePattern)).prefault([]),
  deny: z.array(parsed(parsePattern)).prefault([]),
  finish: word('always', 'never').prefault('always'),
  max_transfers: z.int().min(1).max(10_000).prefault(64),
  timeouts: z
    .strictObject({
      connect: timeout.prefault('3s'),
      first_byte: timeout.prefault('8s'),
      stall: timeout.prefault('15s'),
      give_up: timeout.prefault('60s'),
      min_rate: parsed(parseSize).prefault('1KiB'),
    })
    .prefault({}),
});

const tagsSchema = z.strictObject({
  ttl: duration().prefault('1m'),
  check_timeout: duration({ longest: day }).prefault('2s'),
  stale_if_error: parsed(value =>
    value === 'forever' ? Number.POSITIVE_INFINITY : parseDuration(value),
  ).prefault('forever'),
  on_404: word('keep', 'honour').prefault('keep'),
  negative_ttl: duration().prefault('1m'),
  patterns: z
    .array(
      z.strictObject({
        repositories: z.array(parsed(parseNamePattern)).min(1).prefault(['**']),
        tags: z.array(parsed(parseTagPattern)).min(1),
        ttl: duration(),
      }),
    )
    .prefault([]),
});

const metricsSchema = z.strictObject({
  path: parsed(parseMetricsPath).prefault('/metrics'),
  listen: parsed(value => (value === '' ? undefined : parseListenAddress(value))).optional(),
});

const logSchema = z.strictObject({
  level: word('debug', 'info', 'warn', 'error').prefault('info'),
  format: word('auto', 'json', 'text').prefault('auto'),
  access: flag.prefault(true),
  audit: parsed(parseAudit).prefault(''),
});

/** A file, `stdout`, or nothing. */
function parseAudit(value: unknown): string {
  if (typeof value === 'string') return value;
  throw refusal('a file, stdout, or "" for none', value);
}

export const configSchema = z.strictObject({
  http: httpSchema.prefault({}),
  store: storeSchema.prefault({}),
  lru: lruSchema.prefault({}),
  upstreams: z.record(z.string(), upstreamSchema.prefault({})).prefault({ [HUB]: {} }),
  default_upstream: parsed(parseRegistryHost).optional(),
  offline: flag.prefault(false),
  tags: tagsSchema.prefault({}),
  hosted: hostedSchema.prefault({}),
  access: accessSchema.prefault({}),
  warm: z.array(warmSchema).prefault([]),
  notifications: z.array(notificationSchema).prefault([]),
  fleet: fleetSchema.optional(),
  metrics: metricsSchema.prefault({}),
  log: logSchema.prefault({}),
  tracing: tracingSchema.prefault({}),
});

/** What the file says with the defaults filled in, in the file's own words. */
export type ParsedFile = z.output<typeof configSchema>;
export type ParsedUpstream = z.output<typeof upstreamSchema>;
