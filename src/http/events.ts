/**
 * What HTTP tells of requests: who caused an event, and which requests were refused. Refusals are reported in one place, from
 * the error, so that no handler can forget one.
 */
import type { IncomingMessage } from 'node:http';
import type { Middleware } from 'koa';
import { LoginRequired, WrongCredentials } from '../auth/refusals.ts';
import { RegistryError } from '../oci/error.ts';
import type { EventOrigin, RegistryChange, RegistryEventListener } from '../telemetry/registry-events.ts';
import type { AppContext, AppState, Exchange, PushRequest } from './exchange.ts';

/** In characters. */
const maxTextLength = 512;

export function originOf({ method, headers }: IncomingMessage, exchange: Exchange): EventOrigin {
  const { user, client, requestId } = exchange;
  const { host, 'user-agent': userAgent } = headers;
  return {
    requestId,
    ...(user !== undefined && { user }),
    ...(client !== undefined && { address: client }),
    ...(method !== undefined && { method }),
    ...(host !== undefined && { host: host.slice(0, maxTextLength) }),
    ...(userAgent !== undefined && { userAgent: userAgent.slice(0, maxTextLength) }),
  };
}

/** To be called when the change is durable. */
export function tell({ context, canonicalName, events }: PushRequest, change: RegistryChange): void {
  events?.happened({
    ...change,
    origin: originOf(context.req, context.state.exchange),
    repository: canonicalName,
  });
}

/** Failed logins and denials are reported where errors are answered, whichever handler refuses. */
export function reportRefusal(events: RegistryEventListener, context: AppContext, error: unknown): void {
  if (!(error instanceof RegistryError) || (error.code !== 'DENIED' && error.code !== 'UNAUTHORIZED')) return;
  const { exchange } = context.state;
  if (error instanceof LoginRequired && !isFinal(error, context)) return;
  const origin = originOf(context.req, exchange);
  const { code: result } = error;
  if (error instanceof WrongCredentials)
    events.happened({ type: 'login-failed', origin: { ...origin, ...triedUser(error) }, result });
  else events.happened({ type: 'denied', origin, result, ...(exchange.asked ?? { wanted: 'admin' }) });
}

/** A challenge is no refusal, unless the client has answered it already, with the token of an anonymous caller. */
function isFinal({ reason }: LoginRequired, { req, state }: AppContext): boolean {
  const isAnswered = req.headers.authorization !== undefined && state.exchange.user === undefined;
  return isAnswered && reason === 'insufficient_scope';
}

/** For the admin socket: each command that changes something, done or failed. */
export function reportCommands(events: RegistryEventListener): Middleware<AppState> {
  return async (context, next) => {
    let result = 'ok';
    try {
      await next();
    } catch (error) {
      result = error instanceof RegistryError ? error.code : 'UNKNOWN';
      throw error;
    } finally {
      if (context.method === 'POST') {
        const { asked, requestId } = context.state.exchange;
        const action = context.path
          .replace(/^.*\/v1\//, '')
          .replaceAll('/', ' ')
          .slice(0, maxTextLength);
        const target = asked?.reference === undefined ? {} : { target: asked.reference };
        events.happened({ type: 'administered', origin: { requestId }, action, result, ...target });
      }
    }
  };
}

/** A name that there is not may be a password in the wrong field. */
function triedUser({ user }: WrongCredentials): Pick<EventOrigin, 'user'> {
  return user === undefined ? {} : { user: user.slice(0, maxTextLength) };
}
