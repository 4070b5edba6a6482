/** deploy/grafana: a dashboard that Grafana can lay out, and provisioning that finds it and its Prometheus. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { readComposeFile } from '../../support/compose-file.ts';
import { deployFolder } from '../../support/monitoring.ts';

const datasource = z.strictObject({
  type: z.literal('prometheus'),
  uid: z.string().regex(/^\$\{datasource\}$/),
});
const place = z.strictObject({
  h: z.int().positive(),
  w: z.int().min(1).max(24),
  x: z.int().min(0).max(23),
  y: z.int().min(0),
});
const target = z.strictObject({
  refId: z.string().regex(/^[A-Z]$/),
  expr: z.string(),
  legendFormat: z.string(),
  instant: z.literal(true).optional(),
});
const panel = z.discriminatedUnion('type', [
  z.strictObject({
    id: z.int().positive(),
    type: z.literal('row'),
    title: z.string(),
    collapsed: z.literal(false),
    gridPos: place,
    panels: z.tuple([]),
  }),
  z.strictObject({
    id: z.int().positive(),
    type: z.enum(['timeseries', 'stat', 'state-timeline']),
    title: z.string(),
    description: z.string().min(1).optional(),
    datasource,
    gridPos: place,
    fieldConfig: z.strictObject({
      defaults: z.looseObject({ unit: z.string().optional(), mappings: z.array(z.unknown()).optional() }),
      overrides: z.array(z.unknown()),
    }),
    options: z.looseObject({}),
    targets: z.array(target).min(1),
  }),
]);
const dashboard = z.looseObject({
  uid: z.literal('cistern'),
  title: z.string(),
  schemaVersion: z.int(),
  templating: z.strictObject({ list: z.array(z.looseObject({ name: z.string() })) }),
  panels: z.array(panel),
});

const text = readFileSync(join(deployFolder, 'grafana/cistern.json'), 'utf8');
const { panels, templating } = dashboard.parse(JSON.parse(text));

test('panels have ids and places of their own, and say what they count in', () => {
  const ids = panels.map(({ id }) => id);
  expect(ids).toEqual([...new Set(ids)]);
  const taken = new Map<string, string>();
  for (const { title, gridPos } of panels) {
    expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
    for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
        expect(taken.get(`${x} ${y}`), title).toBeUndefined();
        taken.set(`${x} ${y}`, title);
      }
  }
  for (const one of panels)
    if (one.type !== 'row') {
      const { unit, mappings } = one.fieldConfig.defaults;
      expect(unit ?? mappings, one.title).toBeDefined();
      const refs = one.targets.map(({ refId }) => refId);
      expect(refs, one.title).toEqual([...new Set(refs)]);
    }
});

test('every variable is used, and every one that is used exists', () => {
  const builtIn = ['__rate_interval', '__range', '__all'];
  const used = [...text.matchAll(/\$\{?(\w+)/g)].map(([, name = '']) => name);
  const names = templating.list.map(({ name }) => name);
  expect([...new Set(used)].filter(name => !builtIn.includes(name)).sort()).toEqual(names.sort());
});

test('is where its provider looks, and its Prometheus is the one of docker-compose.yml', () => {
  const { services } = readComposeFile();
  const mounts = new Map(
    services['grafana']?.volumes.map(mount => mount.split(':')).map(([from = '', to = '']) => [from, to]),
  );
  const mounted = (name: string) => mounts.get(`./deploy/grafana/${name}`);
  const [provider] = parse(readFileSync(join(deployFolder, 'grafana/dashboards.yml'), 'utf8')).providers;
  expect(mounted('cistern.json')).toBe(`${provider.options.path}/cistern.json`);
  expect(services['grafana']?.environment['GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH']).toBe(
    mounted('cistern.json'),
  );
  expect(mounted('dashboards.yml')).toMatch(/^\/etc\/grafana\/provisioning\/dashboards\//);
  expect(mounted('datasource.yml')).toMatch(/^\/etc\/grafana\/provisioning\/datasources\//);
  const [source] = parse(readFileSync(join(deployFolder, 'grafana/datasource.yml'), 'utf8')).datasources;
  expect(source).toMatchObject({ type: 'prometheus', isDefault: true });
  const { hostname, port } = new URL(source.url);
  expect(services[hostname]?.ports.map(one => one.split(':').at(-1))).toEqual([port]);
  // Rates need a range of at least four scrapes, which Grafana works out of this.
  const { scrape_interval: interval } = parse(
    readFileSync(join(deployFolder, 'prometheus.yml'), 'utf8'),
  ).global;
  expect(source.jsonData.timeInterval).toBe(interval);
});
