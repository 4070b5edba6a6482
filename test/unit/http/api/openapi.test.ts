/** The description of the API: every route is in it, with the very schemas that requests are checked by. */
import { expect, test } from 'vitest';
import { describeApi } from '../../../../src/http/api/openapi.ts';
import { type Route, routes } from '../../../../src/http/api/schema/routes.ts';

interface Described {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}
interface Operation {
  readonly operationId: string;
  readonly security?: unknown;
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly schema: object }[];
  readonly requestBody?: unknown;
  readonly responses: Readonly<Record<string, unknown>>;
}

const described: Described = JSON.parse(JSON.stringify(describeApi()));

test('every route is described once, with its parameters, body, answer and errors', () => {
  expect(described.openapi).toBe('3.1.0');
  const operations = Object.values(described.paths).flatMap(path => Object.values(path));
  expect(operations.map(({ operationId }) => operationId).sort()).toEqual(Object.keys(routes).sort());
  for (const [id, route] of Object.entries<Route>(routes)) {
    const operation = described.paths[`/api/v1/${route.path}`]?.[route.method.toLowerCase()];
    const asked = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const queried = Object.keys(route.query?.shape ?? {});
    expect([id, operation?.parameters.map(({ name }) => name)]).toEqual([id, [...asked, ...queried]]);
    expect([id, operation?.requestBody !== undefined]).toEqual([id, route.body !== undefined]);
    expect(Object.keys(operation?.responses ?? {})).toEqual([`${route.status ?? 200}`, 'default']);
    expect([id, operation?.security !== undefined]).toEqual([id, route.need !== 'anyone']);
  }
});

test('limits and words of the schemas are in it', () => {
  const n = described.paths['/api/v1/images']?.['get']?.parameters.find(({ name }) => name === 'n');
  expect(n?.schema).toMatchObject({ type: 'integer', minimum: 1, maximum: 200, default: 50 });
  expect(JSON.stringify(described.paths['/api/v1/actions/{action}'])).toContain('dryRun');
});
