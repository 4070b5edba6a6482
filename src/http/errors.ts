/**
 * The one place where an error becomes a response: OCI JSON, never cached, never with internals of an unexpected one.
 * An error after the headers cuts the body instead, with a FIN and without an end, so that no client takes it for whole.
 */
import type { Middleware } from 'koa';
import { WrongCredentials } from '../auth/wrong-credentials.ts';
import { RegistryError } from '../oci/error.ts';
import { formatUnsatisfiedRange } from '../oci/range.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { AppContext, AppState } from './exchange.ts';
import { answerUnread, closeWithFin, hasUnreadBody } from './server/half-close.ts';

export function answerErrors(logger: Logger): Middleware<AppState> {
  return async (context, next) => {
    try {
      await next();
    } catch (error) {
      // A write that fails because the client has reset comes before the response's own close event.
      if (context.state.exchange.hasLeft || context.req.socket.destroyed) {
        context.respond = false; // nobody is there any more
      } else if (context.res.headersSent) {
        cutBody(context, error, logger);
      } else {
        answerError(context, error, logger);
      }
    }
  };
}

function answerError(context: AppContext, cause: unknown, logger: Logger): void {
  const { method, url } = context.req;
  const error = visibleError(cause);
  context.state.exchange.fail(error.code, error.message);
  if (error.status >= 500 && error !== cause) {
    logger.error('unexpected error', { method, url, error: cause });
  }
  const { size } = error.detail ?? {};
  if (error.code === 'RANGE_INVALID' && typeof size === 'number') {
    context.set('Content-Range', formatUnsatisfiedRange(size));
  }
  if (error instanceof WrongCredentials) context.set('WWW-Authenticate', error.challenge);
  context.status = error.status;
  context.set('Content-Type', 'application/json');
  context.set('Cache-Control', 'no-store');
  const body = Buffer.from(JSON.stringify(error));
  context.respond = !hasUnreadBody(context.req); // a blob's handler may have switched it off
  if (!context.respond) {
    answerUnread(context.req, context.res, body);
  } else {
    context.body = body;
  }
}

/**
 * Statuses that clients of a mirror must not see are mapped here, whoever threw them: a challenge would make dockerd
 * offer its Hub password, and podman sleeps for minutes on 429 instead of asking its next source. Our own 401 goes to
 * nobody but a client that has sent credentials.
 */
function visibleError(error: unknown): RegistryError {
  if (!(error instanceof RegistryError)) return new RegistryError('UNKNOWN', { cause: error });
  if (error instanceof WrongCredentials || (error.status !== 401 && error.status !== 429)) return error;
  return new RegistryError('UNAVAILABLE', { message: error.message, cause: error });
}

function cutBody(context: AppContext, error: unknown, logger: Logger): void {
  const { method, url, socket } = context.req;
  context.respond = false;
  const { code, message } = visibleError(error);
  context.state.exchange.fail(code, message);
  logger.warn('the answer was cut', { method, url, upstream: context.state.exchange.upstream, error });
  closeWithFin(socket);
}
