/**
 * Opens an exchange for each request and reports it once, when the response has closed: to the observer always, to the log
 * if it is on. Its middleware is the outermost. The logger hides query values.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Middleware } from 'koa';
import type { Logger } from '../telemetry/logger.ts';
import type { Observer, RequestEnd } from '../telemetry/observer.ts';
import { type AppState, Exchange } from './exchange.ts';
import type { ClientAddress } from './server/client-address.ts';

export interface AccessLogOptions {
  readonly observer: Observer;
  readonly logger: Logger;
  /** False: requests are reported to the observer alone. */
  readonly write: boolean;
  readonly clientAddress: ClientAddress;
}

/** In characters. A request line may have 16 KiB. */
const maxTextLength = 512;

export class AccessLog {
  /** Works only while the socket is open. */
  readonly clientAddress: ClientAddress;
  readonly #options: AccessLogOptions;

  constructor(options: AccessLogOptions) {
    this.#options = options;
    this.clientAddress = options.clientAddress;
  }

  /** `client`: the client's address. */
  open(request: IncomingMessage, response: ServerResponse, client = this.clientAddress(request)): Exchange {
    const { observer, logger, write } = this.#options;
    const exchange = new Exchange(response);
    exchange.client = client;
    response.once('close', () => {
      const end = exchange.end(request);
      observer.requestEnded(end);
      if (write) writeLine(logger, exchange, end, request, response);
    });
    return exchange;
  }

  get middleware(): Middleware<AppState> {
    return (context, next) => {
      context.state.exchange = this.open(context.req, context.res);
      return next();
    };
  }
}

function writeLine(
  logger: Logger,
  exchange: Exchange,
  end: RequestEnd,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const line = {
    method: request.method,
    path: request.url?.slice(0, maxTextLength),
    ns: exchange.ns,
    status: end.status,
    bytes: end.bytes,
    ms: Math.round(end.seconds * 1e4) / 10,
    kind: end.kind,
    outcome: end.outcome,
    upstream: end.upstream,
    ...(exchange.failure !== undefined && { code: exchange.failure.code, reason: exchange.failure.message }),
    ...(!response.writableFinished && { ended: 'early' }),
    client: exchange.client,
    userAgent: request.headers['user-agent']?.slice(0, maxTextLength),
  };
  if (exchange.isOps) logger.debug('request', line);
  else logger.info('request', line);
}
