/**
 * Routes for operators: `/healthz` (the process lives), `/readyz` (it can take requests) and the metrics. Their answers
 * hold no secrets and no repository names.
 */
import { Router } from '@koa/router';
import { RegistryError } from '../oci/error.ts';
import type { AppContext, AppState } from './exchange.ts';

export interface Readiness {
  readonly ok: boolean;
  /** Shown as JSON beside `ok`. */
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface OpsOptions {
  readonly ready: () => Readiness;
  /** Path of the metrics; undefined: not served here. */
  readonly metricsPath?: string | undefined;
  readonly renderMetrics: () => Promise<{ readonly contentType: string; readonly body: string }>;
}

/** Other paths are left to the next middleware. */
export function opsRouter(options: OpsOptions): Router<AppState> {
  const router = new Router<AppState>();
  router.get('/healthz', context => answerJson(context, 200, { ok: true }));
  router.get('/readyz', context => {
    const { ok, detail } = options.ready();
    answerJson(context, ok ? 200 : 503, { ok, ...detail });
  });
  if (options.metricsPath !== undefined) {
    router.get(options.metricsPath, async context => {
      const { contentType, body } = await options.renderMetrics();
      context.state.exchange.isOps = true;
      context.status = 200;
      context.set('Content-Type', contentType);
      context.set('Cache-Control', 'no-store');
      context.body = body;
    });
  }
  return router;
}

/** For requests that no route took. Errors: UNSUPPORTED, 405 for another method on `paths`, else 404. */
export function refuseOther(context: AppContext, paths: ReadonlySet<string>): never {
  if (paths.has(context.path)) {
    context.set('Allow', 'GET, HEAD');
    throw new RegistryError('UNSUPPORTED', {
      message: `${context.method} is not supported here, only GET and HEAD`,
    });
  }
  throw new RegistryError('UNSUPPORTED', { status: 404, message: 'nothing is served at this path' });
}

function answerJson(context: AppContext, status: number, value: object): void {
  context.state.exchange.isOps = true;
  context.status = status;
  context.set('Content-Type', 'application/json');
  context.set('Cache-Control', 'no-store');
  context.body = JSON.stringify(value);
}
