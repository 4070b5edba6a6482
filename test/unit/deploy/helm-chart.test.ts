/** deploy/helm without Helm: versions, values and their schema, and what it shares with the other packages. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';

const root = join(import.meta.dirname, '../../..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const values = parse(read('deploy/helm/values.yaml'));

const node = z.looseObject({ properties: z.record(z.string(), z.unknown()).optional() });

describe('deploy/helm', () => {
  test('has the version of this checkout', () => {
    const { version } = JSON.parse(read('package.json'));
    expect(parse(read('deploy/helm/Chart.yaml'))).toMatchObject({ version, appVersion: version });
  });

  test('its schema knows exactly the values that it has', () => {
    const schema = JSON.parse(read('deploy/helm/values.schema.json'));
    // Helm itself sets `global`.
    expect(settings(schema).filter(setting => setting !== 'global')).toEqual(settingsOf(schema, values));
  });

  test('its limit fits its volume, and it mirrors what mirror.yml mirrors', () => {
    const [, size] = /^(\d+)Gi$/.exec(values.persistence.size) ?? [];
    const [, limit] = /^(\d+)GiB$/.exec(values.store.maxSize) ?? [];
    expect(Number(limit)).toBeLessThan(Number(size));
    expect(Object.keys(values.upstreams)).toEqual(Object.keys(parse(read('mirror.yml')).upstreams));
  });

  test('its alerts and its dashboard are the ones of deploy', () => {
    expect(read('deploy/helm/files/alerts.yml')).toBe(read('deploy/alerts.yml'));
    expect(read('deploy/helm/files/cistern.json')).toBe(read('deploy/grafana/cistern.json'));
  });
});

/** The paths of a schema that have no properties of their own. */
function settings(schema: unknown, above = ''): string[] {
  const { properties } = node.parse(schema);
  if (properties === undefined) return [above];
  return Object.entries(properties).flatMap(([key, child]) =>
    settings(child, above === '' ? key : `${above}.${key}`),
  );
}

/** The paths of a tree, no deeper than the schema goes. */
function settingsOf(schema: unknown, tree: unknown, above = ''): string[] {
  const { properties } = node.parse(schema);
  if (properties === undefined) return [above];
  return Object.entries(z.record(z.string(), z.unknown()).parse(tree)).flatMap(([key, child]) =>
    settingsOf(properties[key] ?? {}, child, above === '' ? key : `${above}.${key}`),
  );
}
