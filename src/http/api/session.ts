/**
 * `/api/v1/session`: log in, log out, who am I. The cookie is only for this host, only for requests of its own pages, and never for a script:
 * `HttpOnly`, `SameSite=Strict`, and `Secure` where the client came by TLS.
 */

import { type Sessions, sessionMs } from '../../auth/sessions.ts';
import { RegistryError } from '../../oci/error.ts';
import type { AppContext } from '../exchange.ts';
import { type ApiCaller, callerOf, canLogIn, cookieName, cookieOf } from './api-caller.ts';
import { type ApiRequest, json, type PageApiOptions } from './api-request.ts';
import type { SessionAnswer } from './schema/session.ts';
import { loginRequest } from './schema/session.ts';

export async function answerSession(
  context: AppContext,
  { caller, expiresMs }: ApiCaller,
  options: PageApiOptions,
): Promise<void> {
  const { actions } = options.sources;
  const answer: SessionAnswer = {
    user: caller.user ?? null,
    canLogIn: canLogIn(context, options),
    expiresAt: expiresMs === undefined ? null : new Date(expiresMs).toISOString(),
    administers:
      caller.user === undefined ? 'none' : await actions.administers(caller, context.state.exchange.signal),
    actions: actions.names,
  };
  json(context, answer);
}

/** Errors: `WrongCredentials`; UNAVAILABLE; DENIED where there are no logins. */
export async function logIn({ context, body }: ApiRequest, options: PageApiOptions): Promise<void> {
  if (!canLogIn(context, options))
    throw new RegistryError('DENIED', { message: 'there are no logins at this address' });
  const { client } = context.state.exchange;
  const former = cookieOf(context.req);
  const { token } = await begin(options.sessions, body, client);
  if (former !== undefined) options.sessions.end(former);
  setCookie(context, token, sessionMs / 1000, options);
  context.req.headers.cookie = `${cookieName}=${token}`;
  await answerSession(context, await callerOf(context, options), options);
}

export function logOut(context: AppContext, options: PageApiOptions): void {
  const token = cookieOf(context.req);
  if (token !== undefined) options.sessions.end(token);
  setCookie(context, '', 0, options);
  context.status = 204;
}

function begin(sessions: Pick<Sessions, 'begin'>, body: unknown, client: string | undefined) {
  return sessions.begin(loginRequest.parse(body), client);
}

function setCookie(
  context: AppContext,
  value: string,
  maxAgeSeconds: number,
  { realm }: Pick<PageApiOptions, 'realm'>,
): void {
  const isTls = realm.baseOf(context.req).startsWith('https:');
  const fields = [
    `${cookieName}=${value}`,
    'Path=/api/v1/',
    `Max-Age=${maxAgeSeconds}`,
    'HttpOnly',
    'SameSite=Strict',
    ...(isTls ? ['Secure'] : []),
  ];
  context.set('Set-Cookie', fields.join('; '));
}
