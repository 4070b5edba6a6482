/**
 * The rights of a request on `/v2/`, before anything is looked up: so a refusal never tells whether a repository exists. Who could log in is
 * asked to (401, with the scope that is missing); who is logged in, or could not, is told no (403).
 */
import { type Access, type Authenticated, requireScope } from '../../auth/access.ts';
import { LoginRequired } from '../../auth/refusals.ts';
import type { Action } from '../../auth/rules.ts';
import { doesInclude, formatScope, type Scope } from '../../auth/tokens/scope.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Caller } from '../../registry/caller.ts';
import type { AppContext } from '../exchange.ts';

/** A request and the caller that its credentials name. */
export interface Rights {
  readonly context: AppContext;
  readonly access: Access;
  readonly authenticated: Authenticated;
}

export type RepositoryAction = Exclude<Action, 'admin'>;

/** `name`: the repository as the client calls it, which is what scopes are about. */
export interface Wanted {
  readonly action: RepositoryAction;
  readonly name: string;
  readonly canonicalName: string;
}

/** Errors: as `Access.authenticate`. */
export async function authenticate(
  context: AppContext,
  access: Access,
  { acceptsExpired }: { readonly acceptsExpired: boolean },
): Promise<Rights> {
  const {
    exchange,
    exchange: { client, connection },
  } = context.state;
  const { authorization } = context.req.headers;
  const authenticated = await access.authenticate(authorization, client, { acceptsExpired, connection });
  exchange.user = authenticated.caller.user;
  return { context, access, authenticated };
}

/** The ping: clients learn from its 401 where tokens are, and log in only if there is one. Errors: `LoginRequired`. */
export function requireKnown({ context, access, authenticated }: Rights): void {
  if (canLogIn(context, access) && !authenticated.isKnown)
    throw new LoginRequired('log in, or get an anonymous token');
}

/** Errors: `LoginRequired`, DENIED. */
export function requireRight({ context, access, authenticated }: Rights, wanted: Wanted): void {
  const { action, name, canonicalName } = wanted;
  const { caller } = authenticated;
  if (may(caller, wanted)) {
    requireScope(authenticated, scopeOf(name, action));
    return;
  }
  const message = `${action} access to ${canonicalName} denied`;
  if (caller.user !== undefined || !canLogIn(context, access)) throw new RegistryError('DENIED', { message });
  throw new LoginRequired(`${message}, log in`, {
    scope: formatScope(scopeOf(name, action)),
    reason: 'insufficient_scope',
  });
}

/** Errors: `LoginRequired`. The list itself holds only what its caller may pull. */
export function requireCatalog({ authenticated }: Rights): void {
  requireScope(authenticated, { type: 'registry', name: 'catalog', actions: ['*'] });
}

export function may(
  caller: Authenticated['caller'],
  { action, canonicalName }: Pick<Wanted, 'action' | 'canonicalName'>,
): boolean {
  switch (action) {
    case 'pull':
      return caller.mayPull(canonicalName, 'public');
    case 'push':
      return caller.mayPush(canonicalName);
    case 'delete':
      return caller.mayDelete(canonicalName);
  }
}

/** As clients spell it: a push pulls too. */
export function scopeOf(name: string, action: RepositoryAction): Scope {
  return { type: 'repository', name, actions: action === 'push' ? ['pull', 'push'] : [action] };
}

/** For what is looked for in all hosted repositories: a token opens those alone that it is for. */
export function callerWithin({ caller, scopes }: Authenticated): Caller {
  if (scopes === undefined) return caller;
  return {
    user: caller.user,
    mayPull: (name, visibility) =>
      doesInclude(scopes, scopeOf(name, 'pull')) && caller.mayPull(name, visibility),
    mayPush: name => caller.mayPush(name),
    mayDelete: name => caller.mayDelete(name),
    mayAdminister: name => caller.mayAdminister(name),
  };
}

function canLogIn({ state: { exchange } }: AppContext, access: Access): boolean {
  return access.hasUsers && exchange.connection?.takesLogins !== false;
}
