/**
 * `cistern check`: prints every problem of the configuration, or its warnings and a summary of it. No secrets in the output, and
 * no network but with `--upstreams`.
 */
import type { UpstreamFinding } from '../app/upstream-check.ts';
import { formatListenAddress } from '../config/address.ts';
import type { TlsConfig } from '../config/certificate.ts';
import type { Config, ListenerConfig, ProxyConfig, RedisConfig, UpstreamConfig } from '../config/config.ts';
import { type LoadOptions, loadConfig } from '../config/load.ts';
import { ConfigError } from '../config/problem.ts';
import { formatDuration, formatSize, formatTable } from '../lib/format.ts';
import { findOwnerPid } from './admin-client.ts';
import { findTroubles, type Surroundings } from './surroundings.ts';

export interface CheckOptions extends LoadOptions {
  /** `--upstreams`: asks them. */
  readonly upstreams?: boolean;
  /** One JSON document instead of text. */
  readonly json?: boolean;
  /** Gets the report, line ends included. */
  readonly write: (text: string) => void;
  /** Left out: those of this machine. */
  readonly interfaces?: Surroundings['interfaces'];
}

/** Field names are public: `--json` prints it (docs/operation.md). */
interface CheckReport {
  readonly valid: boolean;
  /** `FILE:LINE:COL: path: message`. */
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
  /** The file; `defaults`: there is none. */
  readonly source?: string;
  /** As the text has it. */
  readonly summary?: Readonly<Record<string, string>>;
  readonly offline?: boolean;
  /** With `--upstreams`, where any is asked. */
  readonly upstreams?: readonly UpstreamFinding[];
}

/** Resolves with the exit code: 0 usable, 1 an upstream that was asked can't be used, 2 the configuration can't. */
export async function runCheck(options: CheckOptions): Promise<number> {
  const report = await check(options);
  options.write(options.json === true ? `${JSON.stringify(report, null, 2)}\n` : render(report, options));
  if (!report.valid) return 2;
  const isUsable = ({ isReachable, areCredentialsRefused }: UpstreamFinding) =>
    isReachable && !areCredentialsRefused;
  return (report.upstreams ?? []).every(isUsable) ? 0 : 1;
}

async function check(options: CheckOptions): Promise<CheckReport> {
  try {
    const loaded = await loadConfig(options);
    const { config, source, warn } = loaded;
    const troubles = await findTroubles(loaded, { ...options, ownerPid: findOwnerPid });
    return {
      valid: true,
      problems: [],
      warnings: [...loaded.warnings, ...troubles.map(trouble => warn(...trouble))],
      source,
      summary: Object.fromEntries(summarize(config)),
      offline: config.offline,
      ...(options.upstreams === true && !config.offline && { upstreams: await askUpstreams(config) }),
    };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { valid: false, problems: error.message.split('\n'), warnings: [] };
  }
}

async function askUpstreams(config: Config): Promise<readonly UpstreamFinding[]> {
  const { checkUpstreams } = await import('../app/upstream-check.ts');
  return checkUpstreams(config, new AbortController().signal);
}

function render(report: CheckReport, { upstreams: wanted = false }: CheckOptions): string {
  const { problems, warnings, source, summary = {}, offline = false, upstreams } = report;
  if (!report.valid) return `${problems.join('\n')}\n`;
  const from = source === 'defaults' ? 'no mirror.yml found, all defaults' : source;
  const rows = Object.entries(summary).map(row => ['', ...row]); // the empty column indents
  return [
    ...warnings.map(warning => `${warning}\n`),
    `the configuration is valid (${from})\n${formatTable(rows)}`,
    ...(wanted && offline ? ['\noffline: no upstream is asked\n'] : []),
    ...(upstreams === undefined ? [] : [renderUpstreams(upstreams)]),
  ].join('');
}

function renderUpstreams(findings: readonly UpstreamFinding[]): string {
  const rows = findings.map(finding => ['', finding.upstream, describeFinding(finding)]);
  return `\nthe upstreams answer:\n${formatTable(rows)}`;
}

function describeFinding(finding: UpstreamFinding): string {
  const { url, isReachable, reason, tokenStatus, areCredentialsRefused, limit, validUntil } = finding;
  if (!isReachable) return `${url.host}: not usable: ${reason}`;
  const quota =
    limit?.limit === undefined ? 'no pull limit' : `${limit.remaining ?? '?'} of ${limit.limit} pulls left`;
  const notes = [
    ...(areCredentialsRefused ? ['user name and password are refused'] : [describeToken(tokenStatus)]),
    quota,
    ...(validUntil === undefined ? [] : [`certificate valid until ${validUntil.toISOString().slice(0, 10)}`]),
  ];
  return `${url.host}: reachable, ${notes.join(', ')}`;
}

/** Some registries refuse a token for an image that they don't have, as the one that is asked for. */
function describeToken(status: number | undefined): string {
  if (status === undefined) return 'no token needed';
  return status === 200 ? 'token given' : `no token for an unknown image (${status})`;
}

function summarize(config: Config): readonly (readonly [string, string])[] {
  const { http, store, tags, metrics, log } = config;
  const rows = [
    ['listen', http.listen.map(describeListener).join(', ')],
    ...(http.tls === undefined ? [] : [['tls', describeTls(http.tls)]]),
    ...(http.publicUrl === undefined ? [] : [['public url', http.publicUrl]]),
    ...(http.names.length === 0 ? [] : [['own names', http.names.join(', ')]]),
    ['store', `${store.path}, ${describeRoom(store)}`],
    ['lru', describeLru(config.lru)],
    ...[...config.upstreams.values()].map(upstream => [
      `upstream ${upstream.key}`,
      describeUpstream(upstream),
    ]),
    [
      'default upstream',
      config.offline
        ? `${config.defaultUpstream ?? 'none'} (offline: no upstream is asked)`
        : (config.defaultUpstream ?? 'none'),
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
  return rows.map(([key = '', text = '']) => [key, text]);
}

function describeListener(listener: ListenerConfig): string {
  const notes = [
    ...(listener.tls === true ? ['HTTPS'] : []),
    ...(listener.login === false ? ['no logins'] : []),
  ];
  return `${formatListenAddress(listener)}${notes.length === 0 ? '' : ` (${notes.join(', ')})`}`;
}

function describeTls({ files, names, clients }: TlsConfig): string {
  return [
    files === undefined ? 'an authority of its own (cistern certs)' : `certificate in ${files.certificate}`,
    ...(names.length === 0 ? [] : [`others for ${names.map(({ host }) => host).join(', ')}`]),
    ...(clients === undefined
      ? []
      : [`client certificates ${clients.areRequired ? 'required' : 'optional'} (${clients.ca})`]),
  ].join(', ');
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
  return staleIfErrorMs === Number.POSITIVE_INFINITY ? 'forever' : `for ${formatDuration(staleIfErrorMs)}`;
}

function describeLogin({ username, credentialHelper, credentials, share }: UpstreamConfig): string {
  const users = [...credentials.map(entry => entry.username), ...(username === undefined ? [] : [username])];
  const as = [
    ...(users.length === 0 ? [] : [`as ${[...new Set(users)].join(', ')}`]),
    ...(credentialHelper === undefined ? [] : [`by docker-credential-${credentialHelper.name}`]),
  ];
  if (as.length === 0) return 'anonymous';
  return `${as.join(', ')}, ${share === 'all' ? 'shared with everyone' : 'private repositories by access.rules'}`;
}

function describeUpstream(upstream: UpstreamConfig): string {
  const notes = [
    describeLogin(upstream),
    ...(upstream.aliases.length === 0 ? [] : [`also ${upstream.aliases.join(', ')}`]),
    ...(upstream.prefix === undefined ? [] : [`below ${upstream.prefix}/`]),
    ...(upstream.clientCertificate === undefined ? [] : ['with a client certificate']),
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
