/**
 * `/api/v1/` over the owner's socket: what the command line asks a running daemon. Whoever can open the socket is the
 * user that the daemon runs as, or root; so nothing is asked of them here, and nothing of this is ever on a TCP port.
 */
import type { RequestListener } from 'node:http';
import { Router } from '@koa/router';
import Koa from 'koa';
import type { Admin } from '../../admin/admin.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { answerErrors } from '../errors.ts';
import { type AppContext, type AppState, Exchange } from '../exchange.ts';
import { readJsonBody } from './json-body.ts';

const commands = ['refresh', 'evict', 'pin', 'unpin'] as const;

export function createAdminApp({
  admin,
  logger,
}: {
  readonly admin: Admin;
  readonly logger: Logger;
}): RequestListener {
  const app = new Koa<AppState>();
  app.on('error', (error: unknown) => logger.debug('connection error', { error }));
  app.use((context, next) => {
    context.state.exchange = new Exchange(context.res);
    return next();
  });
  app.use(answerErrors(logger));
  const router = new Router<AppState>();
  router.get('/api/v1/stats', async context => answer(context, await admin.stats()));
  router.get('/api/v1/images', async context => {
    const pattern = context.URL.searchParams.get('pattern') ?? undefined;
    answer(context, await admin.list(pattern, context.state.exchange.signal));
  });
  for (const command of commands) {
    router.post(`/api/v1/${command}`, async context => {
      const { image } = await readJsonBody(context.req);
      if (typeof image !== 'string')
        throw new RegistryError('UNSUPPORTED', { status: 400, message: 'expected an image, got none' });
      answer(context, await admin[command](image, context.state.exchange.signal));
    });
  }
  app.use(router.routes());
  app.use(() => {
    throw new RegistryError('UNSUPPORTED', {
      status: 404,
      message: 'this daemon does not know that command',
    });
  });
  return app.callback();
}

function answer(context: AppContext, report: object): void {
  context.status = 200;
  context.set('Content-Type', 'application/json');
  context.set('Cache-Control', 'no-store');
  context.body = JSON.stringify(report);
}
