/**
 * Who asks `/api/v1`: by a name and a password (Basic), by the session cookie of the page, or by the client's certificate. Tokens of the
 * registry are for `/v2/` alone, because their scopes name repositories. A refusal here has no challenge: a browser would ask for a password.
 */
import type { IncomingMessage } from 'node:http';
import type { Access } from '../../auth/access.ts';
import { LoginRequired } from '../../auth/refusals.ts';
import type { Sessions } from '../../auth/sessions.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Caller } from '../../registry/caller.ts';
import type { AppContext } from '../exchange.ts';
import type { Need } from './schema/routes.ts';

export interface ApiAccess {
  readonly access: Pick<Access, 'authenticate' | 'hasUsers' | 'knowsUsers'>;
  readonly sessions: Pick<Sessions, 'resume' | 'begin' | 'end'>;
}

export interface ApiCaller {
  readonly caller: Caller;
  /** Of the session cookie, in milliseconds since the epoch; undefined: it came otherwise. */
  readonly expiresMs: number | undefined;
}

export const cookieName = 'cistern_session';

/** Errors: `WrongCredentials` for wrong Basic credentials; `LoginRequired` for a token. */
export async function callerOf(
  { req, state }: AppContext,
  { access, sessions }: ApiAccess,
): Promise<ApiCaller> {
  const { exchange } = state;
  const { client, connection } = exchange;
  const { authorization } = req.headers;
  const token = cookieOf(req);
  const takesLogins = connection?.takesLogins !== false;
  const isByCookie = authorization === undefined && token !== undefined && takesLogins;
  const session = isByCookie ? await sessions.resume(token, client) : undefined;
  const authenticated = session ?? (await access.authenticate(authorization, client, { connection }));
  if (authenticated.scopes !== undefined) {
    throw new LoginRequired('tokens are for the registry API: log in with a name and a password');
  }
  exchange.user = authenticated.caller.user;
  return { caller: authenticated.caller, expiresMs: session?.expiresMs };
}

/** Clients can log in over this connection. */
export function canLogIn({ state }: AppContext, { access }: ApiAccess): boolean {
  return access.hasUsers && state.exchange.connection?.takesLogins !== false;
}

/** Errors: `LoginRequired`; DENIED where there is no way to log in. */
export function requireNeed(
  need: Need,
  { caller }: ApiCaller,
  context: AppContext,
  options: ApiAccess,
): void {
  if (need === 'anyone' || caller.user !== undefined) return;
  if (canLogIn(context, options)) throw new LoginRequired('log in to see and change this');
  if (need === 'login' && !options.access.knowsUsers) return;
  throw new RegistryError('DENIED', {
    message: options.access.hasUsers
      ? 'this address takes no logins (login: off): use another one'
      : 'no users are configured, so this is read-only: changes are made with the command line',
  });
}

/** Undefined: there is none. */
export function cookieOf({ headers }: IncomingMessage): string | undefined {
  for (const pair of (headers.cookie ?? '').split(';')) {
    const [name = '', value = ''] = pair.split('=', 2);
    if (name.trim() === cookieName && /^[A-Za-z0-9_-]{1,128}$/.test(value.trim())) return value.trim();
  }
  return undefined;
}

/**
 * A change comes from a page of this registry. Browsers say with each such request which page sends it, and no page can say another one; so
 * a foreign page can do nothing with the cookie of a logged-in browser, whatever that browser makes of `SameSite`. `own`: how the client
 * reaches this registry. Errors: DENIED for a foreign or missing origin.
 */
export function requireSameOrigin({ headers }: IncomingMessage, own: string): void {
  const { origin, host, 'sec-fetch-site': site } = headers;
  if (origin === undefined)
    throw refusal('the request has no Origin: changes come from the page of this registry');
  const isOwn = isHttp(origin) && (origin === own || new URL(origin).host === host?.toLowerCase());
  const isFetchedHere = site === undefined || site === 'same-origin';
  if (!isOwn || !isFetchedHere) throw refusal('the request comes from a page of another origin');
}

function isHttp(origin: string): boolean {
  return /^https?:\/\/[^/?#]+$/.test(origin) && URL.canParse(origin);
}

function refusal(message: string): RegistryError {
  return new RegistryError('DENIED', { message });
}
