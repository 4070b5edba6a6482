/** `/api/v1/openapi.json`: OpenAPI 3.1 of the table of routes and its schemas, so that it says what requests are checked by. */
import { z } from 'zod';
import { type Need, type Route, routes } from './schema/routes.ts';
import { errorAnswer } from './schema/values.ts';

type JsonSchema = z.core.JSONSchema.BaseSchema;

const needs: Readonly<Record<Need, string>> = {
  anyone: 'For every caller; it names only what that caller may pull.',
  login: 'Where there are users, for those who are logged in; it names only what they may pull.',
  change:
    'Needs a login and the `admin` action for the repositories that it names, and an `Origin` of this registry.',
};

/** Made anew for each request: it is asked for now and then. */
export function describeApi(): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const [id, route] of Object.entries<Route>(routes)) {
    const path = `/api/v1/${route.path}`;
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(id, route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Cistern',
      version: '1',
      description:
        'The API of the page. Times are ISO 8601 in UTC, sizes are bytes. The next page of a list is in `Link`.',
    },
    paths,
    components: {
      securitySchemes: {
        session: { type: 'apiKey', in: 'cookie', name: 'cistern_session' },
        basic: { type: 'http', scheme: 'basic' },
      },
    },
  };
}

function operationOf(operationId: string, route: Route): object {
  const { summary, need, path, query, body, answer, status = 200, isStream, isPaged } = route;
  const type = isStream === true ? 'text/event-stream' : 'application/json';
  const link = { description: 'the next page', schema: { type: 'string' } };
  return {
    operationId,
    summary,
    description: needs[need],
    ...(need !== 'anyone' && { security: [{ session: [] }, { basic: [] }] }),
    parameters: [...pathParameters(path), ...queryParameters(query)],
    ...(body && {
      requestBody: { required: true, content: { 'application/json': { schema: schemaOf(body, 'input') } } },
    }),
    responses: {
      [status]: {
        description: summary,
        ...(isPaged === true && { headers: { Link: link } }),
        ...(answer && { content: { [type]: { schema: schemaOf(answer, 'output') } } }),
      },
      default: {
        description: 'An error, as on the registry API',
        content: { 'application/json': { schema: schemaOf(errorAnswer, 'output') } },
      },
    },
  };
}

function pathParameters(path: string): readonly object[] {
  return Array.from(path.matchAll(/\{(\w+)\}/g), ([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
}

function queryParameters(query: z.ZodObject | undefined): readonly object[] {
  const { properties = {}, required = [] } = query === undefined ? {} : schemaOf(query, 'input');
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    schema,
  }));
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): JsonSchema {
  const { $schema: _dialect, ...rest }: JsonSchema = z.toJSONSchema(schema, { io });
  return rest;
}
