/**
 * `/api/v1/` on a TCP port: the page's API, and that of scripts. Each request is dispatched, checked and documented by the table of routes.
 * What a caller may do is decided here and, for each repository, by the sources: no answer names what its caller may not pull.
 */
import type { Middleware } from 'koa';
import { z } from 'zod';
import { Limit, LimitExceeded } from '../../lib/limit.ts';
import { RegistryError } from '../../oci/error.ts';
import type { AppContext, AppState } from '../exchange.ts';
import { readWholeBody } from '../server/request-body.ts';
import { callerOf, requireNeed, requireSameOrigin } from './api-caller.ts';
import { type ApiRequest, badRequest, json, type PageApiOptions } from './api-request.ts';
import { beginAction } from './begin-action.ts';
import { streamEvents } from './event-stream.ts';
import { describeApi } from './openapi.ts';
import { answerRead } from './reads.ts';
import { type Route, type RouteName, routes } from './schema/routes.ts';
import { answerSession, logIn, logOut } from './session.ts';

const root = '/api/v1/';
const maxBodyBytes = 256 * 1024;
const bodyIdleMs = 10_000;

/** Of questions that read manifests, by all callers together: the others wait in line, so that pulls go on. */
const readsAtOnce = 8;
const readsWaiting = 200;

export function answerPageApi(options: PageApiOptions): Middleware<AppState> {
  const reads = new Limit({ maxRunning: readsAtOnce, maxWaiting: readsWaiting });
  return (context, next) => (context.path.startsWith('/api/') ? answer(context, options, reads) : next());
}

async function answer(context: AppContext, options: PageApiOptions, reads: Limit): Promise<void> {
  context.state.exchange.isOps = true; // an open page asks all day
  context.set('Cache-Control', 'no-store');
  context.set('X-Content-Type-Options', 'nosniff');
  const { name, route, parameter } = findRoute(context);
  if (route.method !== 'GET') requireSameOrigin(context.req, options.realm.baseOf(context.req));
  if (name === 'login') return logIn(await read(context, name, route, parameter), options);
  if (name === 'logout') return logOut(context, options);
  if (name === 'openapi') return json(context, describeApi());
  const caller = await callerOf(context, options);
  requireNeed(route.need, caller, context, options);
  const request = await read(context, name, route, parameter);
  if (name === 'session') return answerSession(context, caller, options);
  if (name === 'events') return streamEvents(context, caller.caller, options.sources);
  if (name === 'action') return beginAction(request, caller.caller, options.sources);
  try {
    await reads.run(() => answerRead(request, caller.caller, options));
  } catch (error) {
    if (!(error instanceof LimitExceeded)) throw error;
    throw new RegistryError('UNAVAILABLE', {
      message: 'too many questions wait here, ask again in a moment',
    });
  }
}

interface Found {
  readonly name: RouteName;
  readonly route: Route;
  readonly parameter: string;
}

/** Errors: UNSUPPORTED, 404 for another path and 405 for another method. */
function findRoute(context: AppContext): Found {
  const { method, path } = context;
  const asked = path.startsWith(root) ? path.slice(root.length) : '';
  const found: Found[] = [];
  for (const name of routeNames) {
    const route: Route = routes[name];
    const parameter = parameterOf(route.path, asked);
    if (parameter !== undefined) found.push({ name, route, parameter });
  }
  const wanted = method === 'HEAD' ? 'GET' : method;
  const fits = found.find(({ route }) => route.method === wanted);
  if (fits !== undefined) return fits;
  if (found.length === 0)
    throw new RegistryError('UNSUPPORTED', { status: 404, message: 'the API has no such path' });
  const methods = found.map(({ route }) => (route.method === 'GET' ? 'GET, HEAD' : route.method)).join(', ');
  context.set('Allow', methods);
  throw new RegistryError('UNSUPPORTED', { message: `${method} is not supported here, only ${methods}` });
}

const routeNames = Object.keys(routes).filter((name): name is RouteName => Object.hasOwn(routes, name));

/** The segment that stands for `{…}`, or an empty text where there is none. Undefined: another path. */
function parameterOf(pattern: string, asked: string): string | undefined {
  const open = pattern.indexOf('{');
  if (open === -1) return asked === pattern ? '' : undefined;
  const segment = asked.startsWith(pattern.slice(0, open)) ? asked.slice(open) : '';
  return /^[A-Za-z0-9-]{1,64}$/.test(segment) ? segment : undefined;
}

/** Errors: UNSUPPORTED (400) for a query or a body that doesn't fit; SIZE_INVALID (413); those of the body. */
async function read(
  context: AppContext,
  name: RouteName,
  { query, body }: Route,
  parameter: string,
): Promise<ApiRequest> {
  const fields = Object.fromEntries(context.URL.searchParams);
  return {
    context,
    route: name,
    query: query === undefined ? {} : check(query, fields, 'query'),
    body: body === undefined ? undefined : check(body, await readJson(context), 'body'),
    parameter,
  };
}

async function readJson(context: AppContext): Promise<unknown> {
  const type = context.req.headers['content-type'] ?? '';
  if (!/^application\/json\s*(?:;|$)/i.test(type)) throw badRequest('the body is JSON (application/json)');
  const error = () =>
    new RegistryError('SIZE_INVALID', { status: 413, message: 'the request body is larger than 256 KiB' });
  const max = { bytes: maxBodyBytes, error };
  const bytes = await readWholeBody(context.req, context.res, { max, idleMs: bodyIdleMs });
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw badRequest('the request body is not JSON');
  }
}

function check<Schema extends z.ZodType>(schema: Schema, value: unknown, part: string): z.infer<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw badRequest(
    `the ${part} does not fit: ${z.prettifyError(parsed.error).replace(/\s+/g, ' ').slice(0, 300)}`,
  );
}
