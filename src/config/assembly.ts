/**
 * Turns a checked file into the effective configuration: fills in what depends on other keys (the URL of an upstream,
 * the default upstream), makes paths absolute and takes the secrets in. Nothing can be wrong any more at this point.
 */
import { resolve } from 'node:path';
import { canonicalHost, HUB } from '../oci/name.ts';
import type { Config, FleetConfig, ProxyConfig, UpstreamConfig } from './config.ts';
import { formatPath, type Path } from './path.ts';
import { assembleLru } from './redis-assembly.ts';
import type { ParsedFile, ParsedUpstream } from './schema.ts';

/** Beyond what anybody tries through. */
const goodSecretLength = 16;

export interface AssemblyOptions {
  /** Text of `password_file`, `ca_file` and the like by the formatted path of the key. */
  readonly files: ReadonlyMap<string, string>;
  /** What a relative path at a key is relative to. Absolute. */
  readonly baseOf: (path: Path) => string;
  /** For upstreams that name no proxy of their own. */
  readonly proxy: ProxyConfig | undefined;
}

export interface Assembly {
  readonly config: Config;
  readonly warnings: readonly string[];
}

export function assembleConfig(parsed: ParsedFile, options: AssemblyOptions): Assembly {
  const { baseOf } = options;
  const upstreams = Object.entries(parsed.upstreams).map(([key, upstream]) =>
    assembleUpstream(key, upstream, options),
  );
  const byKey = new Map(upstreams.map(upstream => [upstream.key, upstream] as const));
  const defaultUpstream = chooseDefault([...byKey.keys()], parsed.default_upstream);
  const { http, store, lru, tags, access, metrics, log } = parsed;
  const fleet = assembleFleet(parsed, options);
  const config: Config = {
    http: {
      listen: http.listen.map(({ address }) => address),
      ...(http.public_url === undefined ? {} : { publicUrl: http.public_url }),
      names: http.names,
      trustedProxies: http.trusted_proxies,
      drainMs: http.drain,
    },
    store: {
      path: resolve(baseOf(['store', 'path']), store.path),
      maxBytes: store.max_size === 0 ? Number.POSITIVE_INFINITY : store.max_size,
      minFreeBytes: store.min_free,
      lowWatermark: store.low_watermark,
      partialTtlMs: store.partial_ttl,
      verifyAfterMs: store.verify_after,
    },
    lru: assembleLru(lru, options.files),
    upstreams: byKey,
    defaultUpstream,
    offline: parsed.offline,
    tags: {
      ttlMs: tags.ttl,
      checkTimeoutMs: tags.check_timeout,
      staleIfErrorMs: tags.stale_if_error,
      on404: tags.on_404,
      negativeTtlMs: tags.negative_ttl,
    },
    access: {
      ...(access.htpasswd !== undefined && {
        htpasswd: resolve(baseOf(['access', 'htpasswd']), access.htpasswd),
      }),
      ...(access.rules !== undefined && { rules: access.rules }),
    },
    ...(fleet !== undefined && { fleet }),
    metrics: { path: metrics.path, ...(metrics.listen === undefined ? {} : { listen: metrics.listen }) },
    log,
  };
  const isSurprising = parsed.default_upstream === undefined && defaultUpstream !== HUB && byKey.size > 1;
  const surprise = `default_upstream: ${HUB} is not among the upstreams, so names without a host go to the first one, ${defaultUpstream}`;
  const isGuessable = fleet !== undefined && fleet.secret.length < goodSecretLength;
  const guessable = `fleet.secret: it has fewer than ${goodSecretLength} characters; whoever sees a request of a node can guess a short one`;
  const choices = [...(isSurprising ? [surprise] : []), ...(isGuessable ? [guessable] : [])];
  return { config, warnings: [...choices, ...upstreams.flatMap(warnAboutSecrets)] };
}

/** Its keys come together (`fleet-rules.ts`). */
function assembleFleet({ fleet }: ParsedFile, { files }: AssemblyOptions): FleetConfig | undefined {
  const secret = fleet?.secret ?? files.get(formatPath(['fleet', 'secret_file']));
  if (fleet?.name === undefined || fleet.advertise === undefined || secret === undefined) return undefined;
  return { name: fleet.name, advertise: fleet.advertise, secret };
}

/** Docker Hub where it is configured, as clients expect for names without a host; else the first of the file. */
function chooseDefault(keys: readonly string[], given: string | undefined): string {
  if (given !== undefined) return canonicalHost(given);
  return keys.includes(HUB) ? HUB : (keys[0] ?? HUB);
}

function assembleUpstream(
  writtenKey: string,
  parsed: ParsedUpstream,
  { files, proxy: environmentProxy }: AssemblyOptions,
): UpstreamConfig {
  const key = canonicalHost(writtenKey);
  const [url = new URL(key === HUB ? 'https://registry-1.docker.io' : `https://${key}`), ...fallbacks] =
    parsed.url ?? [];
  const proxy = parsed.proxy === undefined ? environmentProxy : ownProxy(parsed.proxy);
  const fileAt = (name: string): string | undefined => files.get(formatPath(['upstreams', writtenKey, name]));
  const password = parsed.password ?? fileAt('password_file');
  const ca = fileAt('ca_file');
  const aliases = new Set(parsed.aliases.map(canonicalHost));
  aliases.delete(key); // what every upstream of that key is called anyway
  return {
    key,
    url,
    fallbacks,
    ...(parsed.username === undefined ? {} : { username: parsed.username }),
    ...(password === undefined ? {} : { password }),
    share: parsed.share,
    ...(ca === undefined ? {} : { ca }),
    insecure: parsed.insecure,
    ip: parsed.ip,
    ...(proxy === undefined ? {} : { proxy }),
    tokenHosts: parsed.token_hosts,
    aliases: [...aliases],
    allow: parsed.allow,
    deny: parsed.deny,
    finish: parsed.finish,
    maxTransfers: parsed.max_transfers,
    timeouts: {
      connectMs: parsed.timeouts.connect,
      firstByteMs: parsed.timeouts.first_byte,
      stallMs: parsed.timeouts.stall,
      giveUpMs: parsed.timeouts.give_up,
    },
  };
}

/** Everything of that upstream goes through it: NO_PROXY belongs to the environment's proxies. */
function ownProxy(proxy: URL | 'none'): ProxyConfig | undefined {
  return proxy === 'none' ? undefined : { http: proxy, https: proxy, bypass: [] };
}

function warnAboutSecrets({ key, url, username, insecure }: UpstreamConfig): readonly string[] {
  if (username === undefined) return [];
  const danger =
    url.protocol === 'http:'
      ? 'plain HTTP'
      : insecure
        ? 'TLS whose certificate nobody checks (insecure)'
        : undefined;
  return danger === undefined ? [] : [`upstreams.${key}: its password travels over ${danger}`];
}
