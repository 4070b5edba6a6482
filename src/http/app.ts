/**
 * The application: hot manifests first, then Koa with the access log outermost, the one error middleware, `/v2/`
 * (dispatched before the router, on the raw target) and the ops routes. `createApp` serves everything, `createOpsApp`
 * only what operators ask.
 */
import type { RequestListener } from 'node:http';
import Koa from 'koa';
import type { Access } from '../auth/access.ts';
import { isApiTarget } from '../oci/endpoint.ts';
import type { Directory } from '../registry/directory.ts';
import { isPeerTarget } from '../registry/peer.ts';
import type { RepositoryCatalog } from '../registry/registry.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Observer } from '../telemetry/observer.ts';
import { AccessLog } from './access-log.ts';
import { answerStats, type StatsOptions } from './api/stats.ts';
import { answerErrors } from './errors.ts';
import type { AppState } from './exchange.ts';
import { type OpsOptions, opsRouter, refuseOther } from './ops.ts';
import { answerPeer, type PeerDoor } from './peers.ts';
import { clientAddressBehind } from './server/client-address.ts';
import { ManifestFastPath } from './v2/manifest-fast-path.ts';
import { answerPull } from './v2/pull.ts';

export interface OpsAppOptions extends OpsOptions {
  readonly observer: Observer;
  readonly logger: Logger;
  /** A log line per request. */
  readonly accessLog: boolean;
  /** `/api/v1/stats`; undefined: not served here. */
  readonly stats?: StatsOptions | undefined;
  /** IP addresses and CIDR blocks whose `X-Forwarded-For` is believed. */
  readonly trustedProxies?: readonly string[];
}

export interface AppOptions extends OpsAppOptions {
  readonly directory: Pick<Directory, 'find'>;
  readonly catalog: RepositoryCatalog;
  readonly access: Access;
  /** For the other nodes of a fleet; absent: there is none. */
  readonly peers?: PeerDoor;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Errors: TypeError for a trusted proxy that is no address. */
export function createApp(options: AppOptions): RequestListener {
  const log = openLog(options);
  const app = createKoa(log, options);
  app.use((context, next) => (isApiTarget(context.req.url ?? '') ? answerPull(context, options) : next()));
  const { peers } = options;
  if (peers !== undefined)
    app.use((context, next) => (isPeerTarget(context.req.url ?? '') ? answerPeer(context, peers) : next()));
  const handle = addOps(app, options);
  const hot = new ManifestFastPath({ ...options, log });
  return (request, response) => {
    if (!hot.answer(request, response)) handle(request, response);
  };
}

/** For `metrics.listen`: the same without `/v2/`. */
export function createOpsApp(options: OpsAppOptions): RequestListener {
  return addOps(createKoa(openLog(options), options), options);
}

function openLog({ observer, logger, accessLog, trustedProxies = [] }: OpsAppOptions): AccessLog {
  const clientAddress = clientAddressBehind(trustedProxies);
  return new AccessLog({ observer, logger, write: accessLog, clientAddress });
}

function createKoa(log: AccessLog, { logger }: OpsAppOptions): Koa<AppState> {
  const app = new Koa<AppState>();
  // Only broken connections come here: every other error is caught by `answerErrors`.
  app.on('error', (error: unknown) => logger.debug('connection error', { error }));
  app.use(log.middleware);
  app.use(answerErrors(logger));
  return app;
}

function addOps(app: Koa<AppState>, options: OpsAppOptions): RequestListener {
  const paths = new Set([
    '/healthz',
    '/readyz',
    ...(options.metricsPath === undefined ? [] : [options.metricsPath]),
  ]);
  if (options.stats !== undefined) app.use(answerStats(options.stats));
  app.use(opsRouter(options).routes());
  app.use(context => refuseOther(context, paths));
  return app.callback();
}
