/** The HTTP side on a real port over memory registries: `docker.io` (the default) and `ghcr.io`. Closed with the test. */
import type { IncomingMessage } from 'node:http';
import { onTestFinished } from 'vitest';
import { Access } from '../../src/auth/access.ts';
import { Rules } from '../../src/auth/rules.ts';
import { type AppOptions, createApp } from '../../src/http/app.ts';
import type { Readiness } from '../../src/http/ops.ts';
import { Listener } from '../../src/http/server/listener.ts';
import { createLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics/metrics.ts';
import { Directory } from '../../src/registry/directory.ts';
import type { PageOptions, RepositoriesPage } from '../../src/registry/registry.ts';
import type { RequestEnd } from '../../src/telemetry/observer.ts';
import { MemoryRegistry } from './memory-registry.ts';

export interface ServedApp {
  readonly url: string;
  readonly hub: MemoryRegistry;
  readonly ghcr: MemoryRegistry;
  /** What `_catalog` answers, and how it was asked. */
  readonly catalog: { page: RepositoriesPage; readonly asked: PageOptions[] };
  readonly listener: Listener;
  readonly metrics: Metrics;
  /** The names that the app had the directory look up. */
  readonly lookedUp: string[];
  /** What the observer heard of requests. */
  readonly ends: RequestEnd[];
  /** Parsed lines of the log. */
  readonly lines: Record<string, unknown>[];
  readonly refused: number[];
  /** Resolves when so many requests have ended. */
  ended(count: number): Promise<void>;
}

export interface ServedAppOptions {
  readonly ready?: () => Readiness;
  readonly now?: () => number;
  readonly trustedProxies?: readonly string[];
  readonly headersTimeoutMs?: number;
  readonly checkIntervalMs?: number;
  readonly ownNames?: readonly string[];
  readonly access?: Access;
  readonly identities?: AppOptions['identities'];
  readonly maxConnections?: number;
}

export async function serveApp(options: ServedAppOptions = {}): Promise<ServedApp> {
  const hub = new MemoryRegistry();
  const ghcr = new MemoryRegistry();
  const catalog: ServedApp['catalog'] = { page: { outcome: 'hit', repositories: [] }, asked: [] };
  const lookedUp: string[] = [];
  const ends: RequestEnd[] = [];
  const lines: Record<string, unknown>[] = [];
  const refused: number[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  const logger = createLogger({
    level: 'debug',
    format: 'json',
    write: line => lines.push(JSON.parse(line)),
  });
  const metrics = new WatchedMetrics({ logger });
  metrics.onEnd = end => {
    ends.push(end);
    for (const one of waiting) if (ends.length >= one.count) one.resolve();
  };
  const directory = new Directory({
    upstreams: [
      { key: 'docker.io', aliases: [], registry: hub },
      { key: 'ghcr.io', aliases: [], registry: ghcr },
    ],
    defaultUpstream: 'docker.io',
    ownNames: options.ownNames ?? [],
  });
  const late = new WeakSet<IncomingMessage>();
  const handle = createApp({
    late,
    directory: {
      hostedPatterns: directory.hostedPatterns,
      find: (name, ns, host) => {
        lookedUp.push(name);
        return directory.find(name, ns, host);
      },
    },
    access: options.access ?? new Access({ users: undefined, rules: new Rules(undefined) }),
    catalog: {
      repositories: async asked => {
        catalog.asked.push(asked);
        return catalog.page;
      },
    },
    observer: metrics,
    logger,
    now: options.now ?? (() => 1_000_000),
    ready: options.ready ?? (() => ({ ok: true, detail: {} })),
    metricsPath: '/metrics',
    renderMetrics: () => metrics.render(),
    accessLog: true,
    trustedProxies: options.trustedProxies ?? [],
    identities: options.identities,
  });
  const listener = await Listener.open({
    addresses: [{ host: '127.0.0.1', port: 0 }],
    handle,
    logger,
    onLate: request => late.add(request),
    ...(options.maxConnections !== undefined && { maxConnections: options.maxConnections }),
    onRefused: status => refused.push(status),
    ...(options.headersTimeoutMs !== undefined && { headersTimeoutMs: options.headersTimeoutMs }),
    ...(options.checkIntervalMs !== undefined && { checkIntervalMs: options.checkIntervalMs }),
  });
  onTestFinished(() => listener.close({ drainMs: 0 }));
  return {
    url: listener.urls[0] ?? '',
    hub,
    ghcr,
    catalog,
    listener,
    metrics,
    lookedUp,
    ends,
    lines,
    refused,
    ended: count =>
      new Promise(resolve => {
        if (ends.length >= count) resolve();
        else waiting.push({ count, resolve });
      }),
  };
}

class WatchedMetrics extends Metrics {
  onEnd: (end: RequestEnd) => void = () => {};

  override requestEnded(end: RequestEnd): void {
    super.requestEnded(end);
    this.onEnd(end);
  }
}
