/**
 * `cistern check`: is the configuration usable, and what does it come to? Prints every problem, or a summary of the
 * effective configuration. No network, and no secrets in the output.
 */
import { formatListenAddress } from '../config/address.ts';
import type { Config, ProxyConfig, RedisConfig, UpstreamConfig } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { ConfigError } from '../config/problem.ts';
import { formatDuration, formatSize } from '../lib/format.ts';

export interface CheckOptions {
  /** `--config`. */
  readonly file?: string;
  /** `--upstreams`: asks the upstreams too. Not in this version. */
  readonly upstreams?: boolean;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** Gets the report, line ends included. */
  readonly write: (text: string) => void;
}

/** Resolves with the exit code: 0 usable, 2 not. */
export async function runCheck({ file, upstreams, env, cwd, write }: CheckOptions): Promise<number> {
  if (upstreams === true) {
    write(
      '--upstreams: this version cannot ask the upstreams yet; without it, check looks at the configuration\n',
    );
    return 2;
  }
  try {
    const { config, warnings, source } = await loadConfig({
      ...(file === undefined ? {} : { file }),
      env,
      cwd,
    });
    for (const warning of warnings) write(`warning: ${warning}\n`);
    write(`configuration is fine (${source === 'defaults' ? 'no mirror.yml here: all defaults' : source})\n`);
    write(summarize(config));
    return 0;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    write(`${error.message}\n`);
    return 2;
  }
}

function summarize(config: Config): string {
  const { http, store, tags, metrics, log } = config;
  const rows: [string, string][] = [
    ['listen', http.listen.map(formatListenAddress).join(', ')],
    ...(http.publicUrl === undefined ? [] : [['public url', http.publicUrl] satisfies [string, string]]),
    ...(http.names.length === 0 ? [] : [['own names', http.names.join(', ')] satisfies [string, string]]),
    ['store', `${store.path}, ${describeRoom(store)}`],
    ['lru', describeLru(config.lru)],
    ...[...config.upstreams.values()].map((upstream): [string, string] => [
      `upstream ${upstream.key}`,
      describeUpstream(upstream),
    ]),
    [
      'default upstream',
      config.offline ? `${config.defaultUpstream} (offline: nothing is asked)` : config.defaultUpstream,
    ],
    [
      'tags',
      `fresh for ${formatDuration(tags.ttlMs)}, then stale ${describeStale(tags.staleIfErrorMs)}; gone upstream: ${tags.on404}`,
    ],
    [
      'metrics',
      metrics.listen === undefined ? metrics.path : `${formatListenAddress(metrics.listen)}${metrics.path}`,
    ],
    ['log', `${log.level}, ${log.format}${log.access ? '' : ', no access log'}`],
  ];
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows.map(([name, value]) => `  ${name.padEnd(width)}${value}\n`).join('');
}

function describeRoom({ maxBytes, minFreeBytes, lowWatermark }: Config['store']): string {
  const limit = maxBytes === Number.POSITIVE_INFINITY ? 'no limit' : `at most ${formatSize(maxBytes)}`;
  const free = minFreeBytes === undefined ? '2GiB or 5 % of the disk' : formatSize(minFreeBytes);
  return `${limit}, ${free} left free, evicts down to ${Math.round(lowWatermark * 100)} %`;
}

function describeLru({ redis, required }: Config['lru']): string {
  if (redis === undefined) return 'in this process';
  return `in Redis, ${describeRedis(redis)}${required ? ' (required)' : ''}`;
}

/** Without the password. */
function describeRedis({ mode, addresses, sentinelName, username, database, tls }: RedisConfig): string {
  const way = { single: '', sentinel: `${sentinelName}, as the Sentinels say: `, cluster: 'Cluster: ' }[mode];
  const user = username === undefined ? '' : `, as ${username}`;
  return `${way}${addresses.map(formatListenAddress).join(', ')}, database ${database}${tls ? ', TLS' : ''}${user}`;
}

function describeStale(staleIfErrorMs: number): string {
  return staleIfErrorMs === Number.POSITIVE_INFINITY ? 'for ever' : `for ${formatDuration(staleIfErrorMs)}`;
}

function describeUpstream(upstream: UpstreamConfig): string {
  const notes = [
    upstream.username === undefined
      ? 'anonymous'
      : `as ${upstream.username}, ${upstream.share === 'all' ? 'shared with everyone' : 'what it opens beyond the public is for access.rules'}`,
    ...(upstream.aliases.length === 0 ? [] : [`also ${upstream.aliases.join(', ')}`]),
    ...(upstream.ca === undefined ? [] : ['own CA']),
    ...(upstream.insecure ? ['certificate not checked'] : []),
    ...(upstream.ip === 'any' ? [] : [`IPv${upstream.ip} only`]),
    ...(upstream.proxy === undefined ? [] : [`through ${describeProxies(upstream.proxy)}`]),
    ...(upstream.allow.length === 0 ? [] : [`only ${upstream.allow.join(', ')}`]),
    ...(upstream.deny.length === 0 ? [] : [`not ${upstream.deny.join(', ')}`]),
  ];
  const urls = [upstream.url, ...upstream.fallbacks].map(url => url.href.replace(/\/$/, ''));
  return `${urls.join(', then ')} (${notes.join('; ')})`;
}

/** Without user and password. */
function describeProxies({ http, https }: ProxyConfig): string {
  return [...new Set([http, https].flatMap(proxy => (proxy === undefined ? [] : [proxy.origin])))].join(', ');
}
