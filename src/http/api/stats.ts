/**
 * `GET /api/v1/stats` on a TCP port: figures, without the names of repositories and without paths. Where there are users
 * it needs a login; where there are none anybody may read it, as they may the metrics. Everything else below `/api/` is
 * refused there: changes are made over the owner's socket.
 */
import type { Middleware } from 'koa';
import type { StatsReport } from '../../admin/admin.ts';
import type { Access } from '../../auth/access.ts';
import { RegistryError } from '../../oci/error.ts';
import type { AppContext, AppState } from '../exchange.ts';

export interface StatsOptions {
  readonly access: Pick<Access, 'isKnown'>;
  read(): Promise<StatsReport>;
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
        'expected the socket of the daemon (owner.sock in store.path), which the command line uses, got a TCP port',
    });
  }
  if (method !== 'GET' && method !== 'HEAD') {
    context.set('Allow', 'GET, HEAD');
    throw new RegistryError('UNSUPPORTED', { message: `expected GET or HEAD, got ${method}` });
  }
  if (!(await access.isKnown(headers.authorization))) {
    throw new RegistryError('DENIED', { message: 'expected a login (Basic, of access.htpasswd), got none' });
  }
  context.state.exchange.isOps = true;
  context.status = 200;
  context.set('Content-Type', 'application/json');
  context.set('Cache-Control', 'no-store');
  context.body = JSON.stringify(withoutNames(await read()));
}

/** For those who may only look: no repository, no path of this machine. */
function withoutNames({ store, daemon, ...rest }: StatsReport): StatsReport {
  const { path: _path, ...figures } = store;
  const downloads = (daemon?.downloads ?? []).map(({ repository: _repository, ...progress }) => progress);
  return { ...rest, store: figures, daemon: daemon && { ...daemon, downloads } };
}
