/**
 * `GET /api/v1/stats` on the port of the metrics: figures without repository names and paths. It needs a login if users are configured.
 * Every other path below `/api/` is refused there: the page and its API are on the ports of `http.listen`.
 */
import type { Middleware } from 'koa';
import type { StatsReport } from '../../admin/admin.ts';
import type { WarmStats } from '../../admin/warm-admin.ts';
import type { Access } from '../../auth/access.ts';
import { LoginRequired } from '../../auth/refusals.ts';
import { RegistryError } from '../../oci/error.ts';
import type { AppContext, AppState } from '../exchange.ts';

export interface StatsOptions {
  readonly access: Pick<Access, 'isLoggedIn'>;
  readonly read: () => Promise<StatsReport>;
}

const statsPath = '/api/v1/stats';

export function answerStats(options: StatsOptions): Middleware<AppState> {
  return (context, next) => (context.path.startsWith('/api/') ? answer(context, options) : next());
}

async function answer(context: AppContext, { access, read }: StatsOptions): Promise<void> {
  const { method, headers } = context.req;
  if (context.path !== statsPath) {
    throw new RegistryError('DENIED', {
      message:
        'this is served on the ports of http.listen, and over the admin socket, which the command line uses',
    });
  }
  if (method !== 'GET' && method !== 'HEAD') {
    context.set('Allow', 'GET, HEAD');
    throw new RegistryError('UNSUPPORTED', { message: `${method} is not supported here, only GET and HEAD` });
  }
  const { client, connection } = context.state.exchange;
  if (!(await access.isLoggedIn(headers.authorization, client, connection))) {
    throw new LoginRequired('log in with a user of this registry (Basic)');
  }
  context.state.exchange.isOps = true;
  context.status = 200;
  context.set('Content-Type', 'application/json');
  context.set('Cache-Control', 'no-store');
  context.body = JSON.stringify(withoutNames(await read()));
}

/** Without repositories, digests (which tell what a private repository pulls just now) and paths of this machine. */
export function withoutNames<Report extends StatsReport>({ store, daemon, ...rest }: Report) {
  const { path: _path, ...figures } = store;
  const downloads = (daemon?.downloads ?? []).map(
    ({ repository: _repository, digest: _digest, ...progress }) => progress,
  );
  if (daemon === null) return { ...rest, store: figures, daemon };
  const uploads = daemon.uploads.map(({ repository: _repository, ...upload }) => ({ ...upload, user: null }));
  const { damaged: _damaged, ...scrub } = daemon.scrub;
  const warm = daemon.warm && withoutFailures(daemon.warm);
  return { ...rest, store: figures, daemon: { ...daemon, downloads, uploads, scrub, ...(warm && { warm }) } };
}

function withoutFailures({ runs, ...schedule }: WarmStats): WarmStats {
  return { ...schedule, runs: runs.map(({ failures: _failures, ...run }) => run) };
}
