/**
 * The one place where an error becomes a response: OCI JSON, never cached, without internals of an unexpected error. An
 * error after the headers cuts the body with a FIN instead, so that no client takes it for complete.
 */
import type { Middleware } from 'koa';
import { LoginRequired, WrongCredentials } from '../auth/refusals.ts';
import { RegistryError } from '../oci/error.ts';
import { formatUnsatisfiedRange } from '../oci/range.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { RegistryEventListener } from '../telemetry/registry-events.ts';
import { reportRefusal } from './events.ts';
import type { AppContext, AppState } from './exchange.ts';
import { closeWithFin } from './server/connections.ts';
import { answerUnread, hasUnreadBody } from './server/request-body.ts';
import { challengeOf, type TokenRealm } from './token-realm.ts';

/** `realm` absent: no client logs in here. `events`: hears of refusals. */
export function answerErrors(
  logger: Logger,
  {
    realm,
    events,
  }: { readonly realm?: TokenRealm; readonly events?: RegistryEventListener | undefined } = {},
): Middleware<AppState> {
  return async (context, next) => {
    try {
      await next();
    } catch (error) {
      if (events !== undefined) reportRefusal(events, context, error);
      // A write that fails by the client's reset comes before the close event of the response.
      if (context.state.exchange.hasLeft || context.req.socket.destroyed) {
        context.respond = false; // the client has left
      } else if (context.res.headersSent) {
        cutBody(context, error, logger);
      } else {
        answerError(context, error, logger, realm);
      }
    }
  };
}

function answerError(
  context: AppContext,
  cause: unknown,
  logger: Logger,
  realm: TokenRealm | undefined,
): void {
  const { method, url } = context.req;
  const error = visibleError(cause);
  context.state.exchange.fail(error.code, error.message, error.detail?.['reason']);
  if (error.status >= 500 && error !== cause) {
    logger.error('unexpected error', { method, url, error: cause });
  }
  const { size } = error.detail ?? {};
  if (error.code === 'RANGE_INVALID' && typeof size === 'number') {
    context.set('Content-Range', formatUnsatisfiedRange(size));
  }
  if (realm !== undefined && isOwnRefusal(error)) {
    const challenge = challengeOf(realm, context.req, error, context.state.exchange.ns);
    if (challenge !== undefined) context.set('WWW-Authenticate', challenge);
  }
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
 * Maps statuses that clients of a mirror must not see: a challenge would make dockerd send its Docker Hub password, and
 * podman sleeps for minutes on 429 instead of asking its next source. The own 401s of this registry name a realm that knows
 * what to answer.
 */
function visibleError(error: unknown): RegistryError {
  if (!(error instanceof RegistryError)) return new RegistryError('UNKNOWN', { cause: error });
  if (isOwnRefusal(error) || (error.status !== 401 && error.status !== 429)) return error;
  return new RegistryError('UNAVAILABLE', { message: error.message, cause: error });
}

function isOwnRefusal(error: RegistryError): error is WrongCredentials | LoginRequired {
  return error instanceof WrongCredentials || error instanceof LoginRequired;
}

function cutBody(context: AppContext, error: unknown, logger: Logger): void {
  const { method, url, socket } = context.req;
  context.respond = false;
  const { code, message } = visibleError(error);
  context.state.exchange.fail(code, message);
  logger.warn('the answer was cut', { method, url, upstream: context.state.exchange.upstream, error });
  closeWithFin(socket);
}
