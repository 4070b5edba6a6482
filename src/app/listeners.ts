/**
 * The HTTP apps over the composed rooms, and the addresses they listen on. The lifecycle closes each
 * listener, with the drain.
 */
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { hostname, networkInterfaces } from 'node:os';
import type { TlsConfig } from '../config/certificate.ts';
import type { ApiSources } from '../http/api/sources.ts';
import { type AppOptions, createApp, createOpsApp } from '../http/app.ts';
import { ConnectionIdentities } from '../http/server/connections.ts';
import { Listener, type ListenerAddress } from '../http/server/listener.ts';
import { TlsContexts } from '../http/server/tls-contexts.ts';
import { CertificateMetrics } from '../metrics/certificate-metrics.ts';
import type { Digest } from '../oci/digest.ts';
import { HUB } from '../oci/name.ts';
import type { TlsFiles } from '../store/tls-files.ts';
import { Certificates } from '../tls/certificates.ts';
import { listOwnHosts } from '../tls/own-hosts.ts';
import type { Tracing } from '../tracing/tracing.ts';
import type { AppContext } from './app-context.ts';
import type { ServedCertificates } from './page/overview.ts';
import { BuiltPage } from './page/page-files.ts';

export interface Serving {
  readonly access: AppOptions['access'];
  /** Where a certificate of the mirror's own is kept. */
  readonly tlsFiles: TlsFiles;
  readonly directory: AppOptions['directory'];
  readonly catalog: AppOptions['catalog'];
  /** Absent: no fleet. */
  readonly peers?: AppOptions['peers'];
  /** Of a blob's file within the folder of blobs. */
  blobPath(digest: Digest): string;
  /** The store is scanned: for `/readyz`. */
  isScanned(): boolean;
  /** Whether Redis keeps the LRU index; absent: Redis isn't configured. */
  isLruInRedis?(): boolean;
  /** Whether the fleet's Redis answers; absent: no fleet. */
  isFleetUp?(): boolean;
  readonly readStats: NonNullable<AppOptions['stats']>['read'];
  readonly clients: NonNullable<AppOptions['clients']>;
  readonly events: AppOptions['events'];
  /** Absent: there are none. */
  readonly traces?: Pick<Tracing, 'wrap' | 'began' | 'ended'> | undefined;
  /** What the page and its API are served from. */
  openSources(certificates: ServedCertificates): ApiSources;
}

/** The main listener, and what of it can change while it listens. */
export interface Listening {
  readonly urls: readonly string[];
  setMaxConnections(configured: number): Promise<void>;
  /** Looks now whether there are new certificates. */
  checkCertificates(): Promise<void>;
}

/** Errors: those of `listen`, and certificates that can't be used. */
export async function listen(serving: Serving, context: AppContext): Promise<Listening> {
  const { config, lifecycle, metrics, logger, now } = context;
  const { access, directory, catalog, peers, isLruInRedis, isFleetUp } = serving;
  const { path, listen: metricsAddress } = config.metrics;
  const certificates =
    config.http.tls === undefined
      ? undefined
      : await openCertificates(config.http.tls, serving.tlsFiles, context);
  const isPlain =
    config.http.tls?.clients === undefined && config.http.listen.every(({ login }) => login !== false);
  const identities = isPlain ? undefined : new ConnectionIdentities();
  const late = new WeakSet<IncomingMessage>();
  const stats = { access, read: serving.readStats };
  const ops = {
    observer: metrics,
    logger,
    accessLog: config.log.access,
    trustedProxies: config.http.trustedProxies,
    publicUrl: config.http.publicUrl,
    renderMetrics: () => metrics.render(),
    ready: () => ({
      ok: !lifecycle.closing,
      detail: {
        draining: lifecycle.closing,
        storeScanned: serving.isScanned(),
        ...(isLruInRedis !== undefined && { lru: isLruInRedis() ? 'redis' : 'degraded' }),
        ...(isFleetUp !== undefined && { fleet: isFleetUp() ? 'met' : 'degraded' }),
      },
    }),
  };
  if (metricsAddress !== undefined) {
    const handle = createOpsApp({ ...ops, stats, metricsPath: path });
    const open = () => Listener.open({ addresses: [metricsAddress], handle, logger });
    await lifecycle.start('metrics listener', open, part => part.close({ drainMs: 0 }));
  }
  const app = createApp({
    ...ops,
    traces: serving.traces,
    late,
    identities,
    authority: certificates?.authority,
    clients: serving.clients,
    events: serving.events,
    directory,
    catalog,
    ...(peers !== undefined && { peers }),
    accel: config.http.accel && { ...config.http.accel, pathOf: serving.blobPath },
    access,
    now,
    page: {
      sources: serving.openSources({
        expiries: () => certificates?.expiries() ?? new Map(),
        hasAuthority: certificates?.authority !== undefined,
      }),
      files: new BuiltPage(),
      mirrorsHub: config.defaultUpstream === HUB,
    },
    metricsPath: metricsAddress === undefined ? path : undefined,
  });
  const handle = serving.traces?.wrap(app) ?? app;
  const refused = {
    upstream: 'none',
    kind: 'other',
    method: 'OTHER',
    outcome: 'error',
    bytes: 0,
    seconds: 0,
    firstByteSeconds: 0,
  } as const;
  const onRefused = (status: number) => metrics.requestEnded({ ...refused, status });
  const maxConnections = await maxConnectionsOf(config.http.maxConnections);
  const open = () =>
    Listener.open({
      addresses: addressesOf(context, certificates),
      ...(identities && { identities }),
      handle,
      logger,
      onRefused,
      onLate: request => late.add(request),
      maxConnections,
    });
  const listener = await lifecycle.start('listener', open, (part, closing) => part.close(closing));
  return {
    urls: listener.urls,
    setMaxConnections: async configured => listener.limit(await maxConnectionsOf(configured)),
    checkCertificates: async () => certificates?.check(),
  };
}

async function openCertificates(
  config: TlsConfig,
  files: TlsFiles,
  { config: { http }, lifecycle, metrics, logger, now }: AppContext,
): Promise<Certificates> {
  const open = () =>
    Certificates.open({
      config,
      files,
      hosts: () => listOwnHosts({ ...http, hostname: hostname(), interfaces: networkInterfaces() }),
      machine: hostname(),
      logger,
      now,
    });
  const certificates = await lifecycle.start('certificates', open, part => part.close());
  new CertificateMetrics(metrics.registry, certificates);
  return certificates;
}

function addressesOf({ config }: AppContext, certificates: Certificates | undefined): ListenerAddress[] {
  const { listen: entries, tls } = config.http;
  const contexts = certificates === undefined ? undefined : new TlsContexts(certificates.current);
  if (contexts !== undefined) certificates?.listen(current => contexts.replace(current));
  const { clients } = tls ?? {};
  const clientCertificates = clients === undefined ? 'none' : clients.areRequired ? 'required' : 'optional';
  return entries.map(({ host, port, tls: speaksTls = false, login = true }) => ({
    host,
    port,
    takesLogins: login,
    ...(speaksTls && contexts !== undefined && { tls: { contexts, clientCertificates } }),
  }));
}

/** For the store's own files, Redis, the log and what Node itself opens. */
const reserved = 128;
const least = 16;
/** Where the limit can't be read: below the smallest common one, 1024. */
const fallbackLimit = 1024;

/**
 * How many connections the process may hold, from its limit of open files (`ulimit -n`). A client costs a socket, and its
 * answer a file or a socket to an upstream: half of the limit is for clients, so that the store always has descriptors.
 * `configured`: 0 asks for the default.
 */
async function maxConnectionsOf(configured: number): Promise<number> {
  return configured > 0 ? configured : connectionsWithin(await readDescriptorLimit());
}

function connectionsWithin(descriptors: number): number {
  return Math.max(least, Math.floor((descriptors - reserved) / 2));
}

/** The soft limit; Infinity: none. */
async function readDescriptorLimit(): Promise<number> {
  let text: string;
  try {
    text = await readFile('/proc/self/limits', 'utf8');
  } catch {
    return fallbackLimit; // no Linux
  }
  const [, soft] = /^Max open files\s+(\d+|unlimited)/m.exec(text) ?? [];
  if (soft === undefined) return fallbackLimit;
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}
