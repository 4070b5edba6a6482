/**
 * The application: hot manifests first, then Koa with the access log outermost, the one error middleware, the refusal of
 * late requests and of those with two hosts, `/v2/`
 * (dispatched on the raw target, before the router) and the ops routes. `createOpsApp` has the ops routes alone.
 */
import type { IncomingMessage, RequestListener } from 'node:http';
import Koa, { type Middleware } from 'koa';
import type { Access } from '../auth/access.ts';
import { Sessions } from '../auth/sessions.ts';
import { isApiTarget, parseEndpoint } from '../oci/endpoint.ts';
import { RegistryError } from '../oci/error.ts';
import type { Directory } from '../registry/directory.ts';
import { isPeerTarget } from '../registry/peer.ts';
import type { RepositoryCatalog } from '../registry/registry.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Observer } from '../telemetry/observer.ts';
import type { RegistryEventListener } from '../telemetry/registry-events.ts';
import { answerPageApi } from './api/page-api.ts';
import type { ApiSources } from './api/sources.ts';
import { answerStats, type StatsOptions } from './api/stats.ts';
import { answerAuthority } from './authority.ts';
import { answerErrors } from './errors.ts';
import { AccessLog, type AccessLogOptions, type AppState, clientAddressBehind } from './exchange.ts';
import { answerFrontPage } from './front-page.ts';
import { type OpsOptions, opsRouter, refuseOther } from './ops.ts';
import { answerPeer, type PeerService } from './peers.ts';
import { answerTokens } from './token.ts';
import { TokenRealm } from './token-realm.ts';
import { type PageFiles, servePage } from './ui/serve-page.ts';
import { answerSetupScript } from './ui/setup-script.ts';
import { Accel, type AccelOptions } from './v2/accel.ts';
import { dispatch } from './v2/dispatch.ts';
import { HotManifests } from './v2/pull-manifest.ts';
import { BlobSender } from './v2/send-blob.ts';

export interface OpsAppOptions extends OpsOptions {
  readonly observer: Observer;
  readonly logger: Logger;
  /** Write a log line per request. */
  readonly accessLog: boolean;
  /** `/api/v1/stats`; undefined: not served here. */
  readonly stats?: StatsOptions | undefined;
  /** IP addresses and CIDR blocks whose `X-Forwarded-For` counts. */
  readonly trustedProxies?: readonly string[];
  /** Requests that arrived during the drain: only ops routes answer them. Absent: there are none. */
  readonly late?: Pick<WeakSet<IncomingMessage>, 'has'>;
  /** Hears of what happens to content, and of refusals; absent: none wants to. */
  readonly events?: RegistryEventListener | undefined;
  /** Hears of each answer with the client's address, which is no metric label. */
  readonly clients?: AccessLogOptions['clients'];
  /** What connections say of their clients. Absent: none says anything. */
  readonly identities?: AccessLogOptions['identities'] | undefined;
  readonly traces?: AccessLogOptions['traces'] | undefined;
  /** As clients reach this registry, without a trailing slash: for the realm of tokens. */
  readonly publicUrl?: string | undefined;
}

export interface AppOptions extends OpsAppOptions {
  readonly directory: Pick<Directory, 'find' | 'hostedPatterns'>;
  readonly catalog: RepositoryCatalog;
  readonly access: Access;
  /** PEM text of the mirror's own authority; absent: it has none. */
  readonly authority?: string | undefined;
  /** For the other nodes of the fleet; absent: there is no fleet. */
  readonly peers?: PeerService;
  /** Absent: no proxy sends blobs by itself. */
  readonly accel?: Omit<AccelOptions, 'trustedProxies'> | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** `/api/v1/` and the page over it. Absent: they aren't served. */
  readonly page?: PageOptions | undefined;
}

export interface PageOptions {
  readonly sources: ApiSources;
  readonly files: PageFiles;
  /** Plain names mean images of Docker Hub here. */
  readonly mirrorsHub: boolean;
}

/** Errors: TypeError or RangeError for a trusted proxy that is no address. */
export function createApp(options: AppOptions): RequestListener {
  const log = openLog(options);
  const app = createKoa(log, options);
  const { directory, access, catalog, now, events } = options;
  const { trustedProxies = [] } = options;
  const accel = options.accel && new Accel({ ...options.accel, trustedProxies });
  const sender = new BlobSender();
  const dispatched = { directory, access, catalog, now, events, accel, sender };
  app.use((context, next) => (isApiTarget(context.req.url ?? '') ? dispatch(context, dispatched) : next()));
  app.use(answerTokens({ access, directory }));
  app.use(answerFrontPage(options.metricsPath));
  const { peers, authority } = options;
  if (authority !== undefined) app.use(answerAuthority(authority));
  if (peers !== undefined)
    app.use((context, next) =>
      isPeerTarget(context.req.url ?? '') ? answerPeer(context, { ...peers, sender }) : next(),
    );
  if (options.page !== undefined) addPage(app, options.page, options);
  const handle = addOps(app, options);
  const hot = new HotManifests({ directory, access, log, events });
  return (request, response) => {
    const mayBeHot = request.url?.includes('/manifests/') === true && hasOneHost(request);
    if (!mayBeHot || !hot.answer(request, response)) handle(request, response);
  };
}

function addPage(
  app: Koa<AppState>,
  { sources, files, mirrorsHub }: PageOptions,
  { access, authority, publicUrl, trustedProxies = [], now }: AppOptions,
): void {
  const realm = new TokenRealm({ publicUrl, trustedProxies });
  app.use(answerPageApi({ access, sessions: new Sessions({ access, now }), sources, realm }));
  app.use(servePage(files));
  app.use(answerSetupScript({ realm, publicUrl, authority, mirrorsHub }));
}

/** For `metrics.listen`: the ops routes without `/v2/`. */
export function createOpsApp(options: OpsAppOptions): RequestListener {
  return addOps(createKoa(openLog(options), options), options);
}

function openLog(options: OpsAppOptions): AccessLog {
  const { observer, logger, accessLog, trustedProxies = [], clients, identities, traces } = options;
  const clientAddress = clientAddressBehind(trustedProxies);
  const more = { ...(clients && { clients }), ...(identities && { identities }), ...(traces && { traces }) };
  return new AccessLog({ observer, logger, write: accessLog, clientAddress, ...more });
}

function createKoa(log: AccessLog, options: OpsAppOptions): Koa<AppState> {
  const { logger, late } = options;
  const app = new Koa<AppState>();
  // Of broken connections alone: `answerErrors` catches every other error.
  app.on('error', (error: unknown) => logger.debug('connection error', { error }));
  app.use(log.middleware);
  const { publicUrl, trustedProxies = [], events } = options;
  app.use(answerErrors(logger, { realm: new TokenRealm({ publicUrl, trustedProxies }), events }));
  app.use(admit({ opsPaths: opsPathsOf(options), ...(late && { late }) }));
  return app;
}

function opsPathsOf({ metricsPath }: OpsAppOptions): ReadonlySet<string> {
  return new Set(['/healthz', '/readyz', ...(metricsPath === undefined ? [] : [metricsPath])]);
}

function addOps(app: Koa<AppState>, options: OpsAppOptions): RequestListener {
  if (options.stats !== undefined) app.use(answerStats(options.stats));
  app.use(opsRouter(options).routes());
  const paths = opsPathsOf(options);
  app.use(context => refuseOther(context, paths));
  return app.callback();
}

interface AdmissionOptions {
  readonly late?: OpsAppOptions['late'];
  /** Answered during the drain too. */
  readonly opsPaths: ReadonlySet<string>;
}

/**
 * What is refused before any route looks at it: a request with two Host headers (RFC 9112 3.2: a proxy in front may have
 * gone by the other one), and a late request, which arrived during the drain.
 * Errors: UNSUPPORTED (400) for two Host headers; for a late request UNAVAILABLE, of a blob BLOB_UNKNOWN.
 */
function admit({ late, opsPaths }: AdmissionOptions): Middleware<AppState> {
  return (context, next) => {
    if (!hasOneHost(context.req)) {
      throw new RegistryError('UNSUPPORTED', {
        status: 400,
        message: 'the request has more than one Host header',
      });
    }
    if (late?.has(context.req) === true && !opsPaths.has(context.path)) throw refuseLate(context.req);
    return next();
  };
}

/** None counts as one: that is decided where the host matters. Node itself keeps the first and drops the others. */
function hasOneHost({ rawHeaders }: Pick<IncomingMessage, 'rawHeaders'>): boolean {
  let count = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at];
    if (name?.length === 4 && name.toLowerCase() === 'host') count += 1;
  }
  return count <= 1;
}

/** A blob's 404 sends dockerd to its next source at once; it would ask for a 5xx again for a minute. */
function refuseLate({ method = '', url = '' }: IncomingMessage): RegistryError {
  const message = 'this mirror is stopping and takes no new requests';
  const isBlob = isApiTarget(url) && kindOf(method, url) === 'blob';
  return new RegistryError(isBlob ? 'BLOB_UNKNOWN' : 'UNAVAILABLE', { message });
}

function kindOf(method: string, url: string): string | undefined {
  try {
    return parseEndpoint(method, url).endpoint.kind;
  } catch (error) {
    if (error instanceof RegistryError) return undefined; // refused as any other request
    throw error;
  }
}
