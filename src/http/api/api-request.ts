/** What the handlers of `/api/v1` get and how they answer: a request whose route is known and whose parts fit the schema. */
import { RegistryError } from '../../oci/error.ts';
import type { AppContext } from '../exchange.ts';
import type { TokenRealm } from '../token-realm.ts';
import type { ApiAccess } from './api-caller.ts';
import type { RouteName } from './schema/routes.ts';
import type { ApiSources } from './sources.ts';

export interface PageApiOptions extends ApiAccess {
  readonly sources: ApiSources;
  readonly realm: Pick<TokenRealm, 'baseOf'>;
}

/** A request whose route is known and whose parts are checked. */
export interface ApiRequest {
  readonly context: AppContext;
  readonly route: RouteName;
  /** As the schema of the route gives it. */
  readonly query: Readonly<Record<string, unknown>>;
  readonly body: unknown;
  /** Of `{id}` and `{action}`. */
  readonly parameter: string;
}

export function json(context: AppContext, value: object, status = 200): void {
  context.status = status;
  context.set('Content-Type', 'application/json');
  context.body = JSON.stringify(value);
}

export function badRequest(message: string): RegistryError {
  return new RegistryError('UNSUPPORTED', { status: 400, message });
}
