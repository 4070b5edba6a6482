/** `POST /api/v1/actions/NAME`: begins a job and answers 202 with its id. What it asks for is noted for the audit. */
import { RegistryError } from '../../oci/error.ts';
import type { Caller } from '../../registry/caller.ts';
import { type ApiRequest, json } from './api-request.ts';
import { actionRequest } from './schema/actions.ts';
import { actionName } from './schema/session.ts';
import type { ApiSources } from './sources.ts';

/** Errors: UNSUPPORTED (404) for another action; those of the actions. */
export async function beginAction(
  { context, body, parameter }: ApiRequest,
  caller: Caller,
  { actions }: Pick<ApiSources, 'actions'>,
): Promise<void> {
  const { exchange } = context.state;
  const { success, data: action } = actionName.safeParse(parameter);
  if (!success) throw new RegistryError('UNSUPPORTED', { status: 404, message: 'there is no such action' });
  const request = actionRequest.parse(body);
  const [reference] = request.images;
  exchange.asked = { wanted: 'admin', ...(reference !== undefined && { reference }) };
  const { user } = caller;
  const { client: address, requestId } = exchange;
  const origin = {
    requestId,
    ...(user !== undefined && { user }),
    ...(address !== undefined && { address }),
  };
  const job = await actions.begin(action, request, caller, origin, exchange.signal);
  json(context, { job }, 202);
}
