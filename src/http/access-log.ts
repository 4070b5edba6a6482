/**
 * The outermost middleware: opens the exchange and reports its end, once, when the response has closed for whatever
 * reason: to the observer always, to the access log when it is on. Query values are hidden by the logger itself.
 */
import type { Middleware } from 'koa';
import type { Logger } from '../telemetry/logger.ts';
import type { Observer } from '../telemetry/observer.ts';
import type { ClientAddress } from './client-address.ts';
import { type AppContext, type AppState, Exchange } from './exchange.ts';

export interface AccessLogOptions {
  readonly observer: Observer;
  readonly logger: Logger;
  /** False: only the observer hears of requests. */
  readonly write: boolean;
  readonly clientAddress: ClientAddress;
}

/** Longer ones are cut: a request line may have 16 KiB. */
const maxTextLength = 512;

export function accessLog(options: AccessLogOptions): Middleware<AppState> {
  const { observer, logger } = options;
  return (context, next) => {
    const exchange = new Exchange(context.res);
    context.state.exchange = exchange;
    exchange.client = options.clientAddress(context.req); // the socket knows it only while it is open
    context.res.once('close', () => {
      const end = exchange.end(context.req);
      const { upstream, kind, outcome } = exchange;
      observer.requestEnded({ upstream, kind, outcome, ...end });
      if (options.write) writeLine(logger, context, end);
    });
    return next();
  };
}

function writeLine(logger: Logger, context: AppContext, end: ReturnType<Exchange['end']>): void {
  const { req, res } = context;
  const { exchange } = context.state;
  const line = {
    method: req.method,
    path: req.url?.slice(0, maxTextLength),
    ns: exchange.ns,
    status: end.status,
    bytes: end.bytes,
    ms: Math.round(end.seconds * 1e4) / 10,
    kind: exchange.kind,
    outcome: exchange.outcome,
    upstream: exchange.upstream,
    ...(exchange.failure !== undefined && { code: exchange.failure.code, reason: exchange.failure.message }),
    ...(!res.writableFinished && { ended: 'early' }),
    client: exchange.client,
    userAgent: req.headers['user-agent']?.slice(0, maxTextLength),
  };
  if (exchange.isOps) logger.debug('request', line);
  else logger.info('request', line);
}
