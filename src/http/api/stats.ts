/**
 * `GET /api/v1/stats` on a TCP port: figures without repository names and paths. It needs a login if users are configured.
 * Every other path below `/api/` is refused: changes are made over the admin socket.
 */
import type { Middleware } from 'koa';
import type { StatsReport } from '../../admin/admin.ts';
import type { WarmStats } from '../../admin/warm-admin.ts';
import type { Access } from '../../auth/access.ts';
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
        'this is served only over the admin socket (owner.sock in store.path), which the command line uses',
    });
  }
  if (method !== 'GET' && method !== 'HEAD') {
    context.set('Allow', 'GET, HEAD');
    throw new RegistryError('UNSUPPORTED', { message: `${method} is not supported here, only GET and HEAD` });
  }
  const { client, connection } = context.state.exchange;
  if (!(await access.isLoggedIn(headers.authorization, client, connection))) {
    throw new RegistryError('DENIED', { message: 'log in with a user of access.htpasswd (Basic)' });
  }
  context.state.exchange.isOps = true;
  context.status = 200;
  context.set('Content-Type', 'application/json');
  context.set('Cache-Control', 'no-store');
  context.body = JSON.stringify(withoutNames(await read()));
}

/** Without repositories, digests (which tell what a private repository pulls just now) and paths of this machine. */
function withoutNames({ store, daemon, ...rest }: StatsReport): StatsReport {
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
