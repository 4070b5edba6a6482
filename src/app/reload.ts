/**
 * SIGHUP: what can change while the mirror runs is taken from a configuration that was read anew, and the log names the
 * settings that changed and need a restart. Values are never logged: some are secrets.
 */
import type { AccessConfig } from '../config/access-config.ts';
import type { Config, StoreConfig, UpstreamConfig } from '../config/config.ts';
import type { Logger } from '../telemetry/logger.ts';

/** What takes new settings. */
export interface ReloadTargets {
  setAccess(access: AccessConfig): Promise<void>;
  setStoreLimits(limits: Pick<StoreConfig, 'maxBytes' | 'minFreeBytes' | 'lowWatermark'>): void;
  setMaxConnections(configured: number): Promise<void>;
  /** Targets of notifications, and the audit log, whose file is reopened. */
  setNotifications(config: Pick<Config, 'notifications' | 'log' | 'http'>): Promise<void>;
  /** The schedule of `cistern warm`: runs of the old one are stopped. */
  setWarm(entries: Config['warm']): Promise<void>;
  /** Of the private registry. */
  setReadOnly(state: boolean | string): void;
  /** Another account or other certificates of an upstream. */
  setUpstream(upstream: UpstreamConfig): void;
}

type Settings = Readonly<Record<string, unknown>>;

/**
 * Of one upstream, when nothing else of it changed. Also `username`, where there is one before and after: whether there is
 * one decides about visibility.
 */
const upstreamReloads: ReadonlySet<string> = new Set([
  'password',
  'passwordFile',
  'clientCertificate',
  'ca',
  'insecure',
  'proxy',
  'ip',
  'tokenHosts',
  'maxTransfers',
]);
const storeReloads: ReadonlySet<string> = new Set(['maxBytes', 'minFreeBytes', 'lowWatermark']);
const hostedReloads: ReadonlySet<string> = new Set(['readOnly']);
const accessReloads: ReadonlySet<string> = new Set(['htpasswd', 'ldap', 'rules', 'tokenTtlMs']);
const httpReloads: ReadonlySet<string> = new Set(['maxConnections']);

export class Reload {
  readonly #targets: ReloadTargets;
  readonly #logger: Logger;
  /** What the mirror runs with. */
  #running: Config;

  constructor(started: Config, targets: ReloadTargets, logger: Logger) {
    this.#running = started;
    this.#targets = targets;
    this.#logger = logger;
  }

  async apply(next: Config): Promise<void> {
    const running = this.#running;
    const [http, store] = [changes(running.http, next.http), changes(running.store, next.store)];
    const changed: string[] = [];
    const restart: string[] = [];
    const note = (section: string, keys: readonly string[], reloads: ReadonlySet<string>) => {
      for (const key of keys) (reloads.has(key) ? changed : restart).push(`${section}.${settingName(key)}`);
    };
    note('http', http, httpReloads);
    note('store', store, storeReloads);
    note('log', changes(running.log, next.log), new Set(['audit']));
    if (!isSame(running.notifications, next.notifications)) changed.push('notifications');
    const isWarmNew = !isSame(running.warm, next.warm);
    if (isWarmNew) changed.push('warm');
    const hosted = changes(running.hosted, next.hosted);
    note('hosted', hosted, hostedReloads);
    note('access', changes(running.access, next.access), accessReloads);
    for (const section of [
      'lru',
      'defaultUpstream',
      'offline',
      'tags',
      'fleet',
      'metrics',
      'tracing',
    ] as const)
      if (!isSame(running[section], next[section])) restart.push(settingName(section));
    const upstreams = this.#applyUpstreams(next, note, restart);
    if (http.includes('maxConnections')) await this.#targets.setMaxConnections(next.http.maxConnections);
    if (store.some(key => storeReloads.has(key))) this.#targets.setStoreLimits(next.store);
    if (hosted.includes('readOnly')) this.#targets.setReadOnly(next.hosted.readOnly);
    if (isWarmNew) await this.#targets.setWarm(next.warm);
    await this.#targets.setAccess(next.access);
    const { audit: _audit, ...log } = running.log;
    const telling = {
      notifications: next.notifications,
      log: { ...log, ...(next.log.audit !== undefined && { audit: next.log.audit }) },
    };
    await this.#targets.setNotifications({ ...telling, http: running.http });
    this.#running = {
      ...running,
      http: { ...running.http, maxConnections: next.http.maxConnections },
      store: {
        ...running.store,
        maxBytes: next.store.maxBytes,
        minFreeBytes: next.store.minFreeBytes,
        lowWatermark: next.store.lowWatermark,
      },
      access: next.access,
      warm: next.warm,
      ...telling,
      hosted: { ...running.hosted, readOnly: next.hosted.readOnly },
      upstreams,
    };
    this.#logger.info('configuration reloaded', { changed });
    if (restart.length > 0) this.#logger.warn('changed settings need a restart', { settings: restart });
  }

  #applyUpstreams(
    next: Config,
    note: (section: string, keys: readonly string[], reloads: ReadonlySet<string>) => void,
    restart: string[],
  ): ReadonlyMap<string, UpstreamConfig> {
    const running = new Map(this.#running.upstreams);
    for (const key of next.upstreams.keys()) if (!running.has(key)) restart.push(`upstreams.${key}`);
    for (const [key, old] of this.#running.upstreams) {
      const upstream = next.upstreams.get(key);
      if (upstream === undefined) {
        restart.push(`upstreams.${key}`);
        continue;
      }
      const keys = changes(old, upstream);
      const hasUser = old.username !== undefined && upstream.username !== undefined;
      const needsRestart = keys.some(name => !upstreamReloads.has(name) && !(hasUser && name === 'username'));
      note(`upstreams.${key}`, keys, needsRestart ? new Set() : new Set(keys));
      if (needsRestart || keys.length === 0) continue;
      this.#targets.setUpstream(upstream);
      running.set(key, upstream);
    }
    return running;
  }
}

/** Where the name in `Config` isn't the key of the file in camel case. */
const settingNames: Readonly<Record<string, string>> = {
  maxBytes: 'max_size',
  minFreeBytes: 'min_free',
  ca: 'ca_file',
  clientCertificate: 'client_cert',
};

/** As in mirror.yml. */
function settingName(key: string): string {
  const words = key.replace(/(?:Ms|Bytes)$/, '').replaceAll(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);
  return settingNames[key] ?? words;
}

/** Keys of either whose values differ. */
function changes(old: object, next: object): string[] {
  const [before, after]: Settings[] = [{ ...old }, { ...next }];
  const keys = new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})]);
  return [...keys].filter(key => !isSame(before?.[key], after?.[key]));
}

function isSame(one: unknown, other: unknown): boolean {
  return Object.is(one, other) || JSON.stringify(one) === JSON.stringify(other);
}
