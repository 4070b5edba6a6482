/**
 * Loads the configuration: the file, the environment over it, defaults below. It finds every problem before it gives up,
 * and reads only the file and the files that it names.
 */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { HUB } from '../oci/name.ts';
import type { Config, ProxyConfig } from './config.ts';
import { ConfigDocument } from './document.ts';
import { fileVariable, overlayEnvironment, readProxies } from './environment.ts';
import { Findings } from './findings.ts';
import { findOwnUpstreams, findSurprises, type Remark } from './hints/surprises.ts';
import { ConfigError, formatPath, formatWarning, type Path } from './problem.ts';
import { describeReadError, readReferencedFiles } from './referenced-file.ts';
import { describeOldStorage, overlayRegistryEnvironment } from './registry-environment.ts';
import type { ParsedFile } from './schema.ts';
import { checkSchema } from './schema-check.ts';
import { checkAccess } from './sections/access.ts';
import { assembleFleet, checkFleet, warnAboutFleet } from './sections/fleet.ts';
import { assembleHosted, checkHosted } from './sections/hosted.ts';
import { assembleLdap, warnAboutLdap } from './sections/ldap.ts';
import { assembleNotifications, checkNotifications } from './sections/notifications.ts';
import { assembleRedis, checkRedis } from './sections/redis.ts';
import { assembleTls, checkTls, checkTlsFiles } from './sections/tls.ts';
import { assembleTracing } from './sections/tracing.ts';
import { assembleWarm } from './sections/warm.ts';
import { warnAboutCredentials } from './upstream-credentials.ts';
import { assembleUpstream, checkUpstreams, chooseDefaultUpstream } from './upstreams.ts';

export interface LoadOptions {
  /** `--config`; it must exist. Without it `CISTERN_CONFIG`, then `mirror.yml` in `cwd`, which may be missing. */
  readonly file?: string;
  readonly env: NodeJS.ProcessEnv;
  /** Absolute. */
  readonly cwd: string;
  /** For the command that makes the file: that it is missing is then no problem. */
  readonly mayLackHtpasswd?: boolean;
}

export interface LoadedConfig {
  readonly config: Config;
  /** `FILE:LINE:COL: path: warning: …`: ignored variables and choices that may surprise. */
  readonly warnings: readonly string[];
  /** The same form for what only the command finds out. */
  readonly warn: (...remark: Remark) => string;
  /** The file's tree with the environment's values in it. */
  readonly tree: unknown;
  /** Absolute path of the file that was read, or `defaults`. */
  readonly source: string;
}

const defaultFile = 'mirror.yml';
const loopback: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '::1']);

/** Errors: `ConfigError` with all problems. */
export async function loadConfig({ file, env, cwd, mayLackHtpasswd }: LoadOptions): Promise<LoadedConfig> {
  const named = file ?? (env[fileVariable] || undefined);
  const path = resolve(cwd, named ?? defaultFile);
  const text = await readText(path, named);
  const document = new ConfigDocument(named ?? defaultFile, text ?? '');
  if (document.tree === undefined) throw new ConfigError(document.problems);

  const registry = overlayRegistryEnvironment(document.tree, env);
  const overlay = overlayEnvironment(registry.tree, env);
  const { tree, ambiguous } = overlay;
  const variables = new Map([...registry.variables, ...overlay.variables]);
  const warnings = [...registry.warnings, ...overlay.warnings];
  const findings = new Findings(document, tree, variables);
  const folder = text === undefined ? cwd : dirname(path);
  const baseOf = (setting: Path): string => (variables.has(formatPath(setting)) ? cwd : folder);
  const parsed = checkSchema(tree, findings);
  checkTls(tree, findings);
  checkUpstreams(tree, findings);
  checkRedis(tree, findings);
  checkAccess(tree, findings);
  checkFleet(tree, findings);
  checkNotifications(tree, findings);
  checkHosted(tree, findings);
  const optional = mayLackHtpasswd === true ? ['htpasswd'] : [];
  const files = await readReferencedFiles(tree, baseOf, findings, optional);
  checkTlsFiles(tree, files, findings);
  const proxy = readProxies(env, findings);
  for (const { variable, message } of [...ambiguous, ...registry.refused])
    findings.reportVariable(variable, message);
  const problems = findings.list();
  if (parsed === undefined || problems.length > 0) throw new ConfigError(problems);

  const config = assembleConfig(parsed, { files, baseOf, proxy });
  const warn = (path: Path, message: string): string => formatWarning(findings.place(path, message));
  const isEmpty = text !== undefined && Object.keys(Object(document.tree)).length === 0;
  const remarks: readonly Remark[] = [
    ...(isEmpty ? [[[], 'nothing is set in this file, so all defaults hold'] satisfies Remark] : []),
    ...findSurprises(tree),
    ...findOwnUpstreams(tree, config.http, loopback),
    ...warnAboutDefault(parsed, config),
    ...warnAboutFleet(config.fleet),
    ...warnAboutLdap(config.access),
    ...(await warnAboutOldStorage(config.store.path, variables)),
    ...[...config.upstreams.values()].flatMap(warnAboutCredentials),
  ];
  return {
    config,
    warnings: [...warnings.map(formatWarning), ...remarks.map(remark => warn(...remark))],
    warn,
    tree,
    source: text === undefined ? 'defaults' : path,
  };
}

interface AssemblyInput {
  /** Text of `password_file`, `ca_file` and the like by the formatted path of the key. */
  readonly files: ReadonlyMap<string, string>;
  /** What a relative path at a key is relative to. Absolute. */
  readonly baseOf: (path: Path) => string;
  /** For upstreams that name no proxy of their own. */
  readonly proxy: ProxyConfig | undefined;
}

/** Fills in what depends on other keys. Nothing can be wrong any more at this point. */
function assembleConfig(parsed: ParsedFile, { files, baseOf, proxy }: AssemblyInput): Config {
  const { http, store, lru, tags, access, metrics } = parsed;
  const locate = (path: Path, file: string): string => resolve(baseOf(path), file);
  const upstreams = new Map(
    Object.entries(parsed.upstreams)
      .map(([key, upstream]) => assembleUpstream(key, upstream, { texts: files, locate }, proxy))
      .map(upstream => [upstream.key, upstream] as const),
  );
  const defaultUpstream = chooseDefaultUpstream([...upstreams.keys()], parsed.default_upstream);
  const fleet = assembleFleet(parsed.fleet, files);
  const tls = assembleTls(http.tls, locate);
  const tracing = assembleTracing(parsed.tracing);
  const ldap = assembleLdap(access.ldap, files);
  return {
    http: {
      listen: http.listen.map(({ address, tls: speaksTls = tls !== undefined, login }) => ({
        ...address,
        ...(speaksTls && { tls: true }),
        ...(!login && { login: false }),
      })),
      ...(tls !== undefined && { tls }),
      ...(http.public_url === undefined ? {} : { publicUrl: http.public_url }),
      names: http.names,
      trustedProxies: http.trusted_proxies,
      drainMs: http.drain,
      maxConnections: http.max_connections,
      ...(http.accel && { accel: http.accel }),
    },
    store: {
      path: resolve(baseOf(['store', 'path']), store.path),
      maxBytes: store.max_size === 0 ? Number.POSITIVE_INFINITY : store.max_size,
      minFreeBytes: store.min_free,
      lowWatermark: store.low_watermark,
      partialTtlMs: store.partial_ttl,
      verifyAfterMs: store.verify_after,
      recordsTtlMs: store.records_ttl,
      scrub: { everyMs: store.scrub.every, bytesPerSecond: store.scrub.rate },
    },
    lru: {
      ...(lru.redis !== undefined && { redis: assembleRedis(lru.redis, files) }),
      required: lru.required,
    },
    upstreams,
    ...(defaultUpstream !== undefined && { defaultUpstream }),
    offline: parsed.offline,
    tags: {
      ttlMs: tags.ttl,
      patterns: tags.patterns.map(({ ttl, ...rule }) => ({ ...rule, ttlMs: ttl })),
      checkTimeoutMs: tags.check_timeout,
      staleIfErrorMs: tags.stale_if_error,
      on404: tags.on_404,
      negativeTtlMs: tags.negative_ttl,
    },
    hosted: assembleHosted(parsed.hosted),
    access: {
      ...(access.htpasswd !== undefined && {
        htpasswd: resolve(baseOf(['access', 'htpasswd']), access.htpasswd),
      }),
      ...(ldap !== undefined && { ldap }),
      tokenTtlMs: access.token_ttl,
      ...(access.rules !== undefined && { rules: access.rules }),
    },
    warm: assembleWarm(parsed.warm),
    notifications: assembleNotifications(parsed.notifications, files),
    ...(fleet !== undefined && { fleet }),
    metrics: { path: metrics.path, ...(metrics.listen === undefined ? {} : { listen: metrics.listen }) },
    log: assembleLog(parsed.log, locate),
    ...(tracing !== undefined && { tracing }),
  };
}

/** Only where registry:2's own variable named the folder. */
async function warnAboutOldStorage(
  path: string,
  variables: ReadonlyMap<string, string>,
): Promise<readonly Remark[]> {
  if (variables.get('store.path')?.startsWith('REGISTRY_') !== true) return [];
  const message = await describeOldStorage(path);
  return message === undefined ? [] : [[['store', 'path'], message]];
}

function assembleLog(
  { audit, ...log }: ParsedFile['log'],
  locate: (path: Path, file: string) => string,
): Config['log'] {
  if (audit === '') return log;
  return { ...log, audit: audit === 'stdout' ? audit : locate(['log', 'audit'], audit) };
}

function warnAboutDefault(parsed: ParsedFile, { defaultUpstream, upstreams }: Config): readonly Remark[] {
  if (parsed.default_upstream !== undefined || defaultUpstream === HUB || upstreams.size <= 1) return [];
  return [
    [
      ['default_upstream'],
      `${HUB} is not among the upstreams, so names without a host go to the first one, ${defaultUpstream}`,
    ],
  ];
}

/** Undefined: no file was named, and the default file does not exist. */
async function readText(path: string, named: string | undefined): Promise<string | undefined> {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path));
  } catch (error) {
    const isAbsent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (isAbsent && named === undefined) return undefined;
    const message = error instanceof TypeError ? 'expected UTF-8 text' : describeReadError(error);
    throw new ConfigError([{ origin: named ?? defaultFile, path: '', message }]);
  }
}
