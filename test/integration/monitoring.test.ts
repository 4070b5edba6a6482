/** Dashboard, alerts and docs/metrics.md against what a mirror really exports: no name, label or value that isn't there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { CertificateMetrics } from '../../src/metrics/certificate-metrics.ts';
import { CollectionMetrics } from '../../src/metrics/collection-metrics.ts';
import { FleetMetrics } from '../../src/metrics/fleet-metrics.ts';
import { TraceMetrics } from '../../src/metrics/trace-metrics.ts';
import { UploadMetrics } from '../../src/metrics/upload-metrics.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { get } from '../support/client.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { alertExpressions, dashboardExpressions, deployFolder } from '../support/monitoring.ts';
import { readExpression } from '../support/promql.ts';
import { startFakeUpstream } from '../support/upstream.ts';

/** What Prometheus puts on every series. */
const ownLabels = ['instance', 'job'];
const document = readFileSync(join(deployFolder, '../docs/metrics.md'), 'utf8');
const documented = new Map(
  [...document.matchAll(/^\| `(\w+)` \|(.*?)\| (.*)$/gm)].map(([, name = '', labels = '', meaning = '']) => [
    name,
    { labels: quoted(labels), isHistogram: meaning.startsWith('Histogram') },
  ]),
);

/** Family to label names, as far as there is a series. */
async function scrape(): Promise<{ types: Map<string, string>; labels: Map<string, string[]> }> {
  const upstream = await startFakeUpstream({ rateLimit: { limit: 100 } });
  const image = buildImage();
  upstream.put('library/alpine', image, '3.20');
  const mirror = await startTestMirror({ upstream });
  expect((await get(mirror.url, '/v2/library/alpine/manifests/3.20')).status).toBe(200);
  for (const { descriptor } of image.blobs)
    expect((await get(mirror.url, `/v2/library/alpine/blobs/${descriptor.digest}`)).status).toBe(200);
  expect((await get(mirror.url, `/v2/library/alpine/blobs/${digestOf(Buffer.from('none'))}`)).status).toBe(
    404,
  );

  const text =
    (await get(mirror.url, '/metrics')).body.toString() +
    (await fleetMetrics()) +
    (await uploadMetrics()) +
    (await certificateMetrics()) +
    (await traceMetrics());
  const types = new Map(
    [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name = '', type = '']) => [name, type]),
  );
  const labels = new Map<string, string[]>();
  for (const [, series = '', pairs = ''] of text.matchAll(/^(\w+)(?:\{(.*)\})? \S+$/gm)) {
    const names = [...pairs.matchAll(/(\w+)="(?:\\.|[^"\\])*"/g)].map(([, name = '']) => name);
    labels.set(
      familyOf(series, types),
      names.filter(name => name !== 'le'),
    );
  }
  return { types, labels };
}

/** What a mirror with a fleet exports beside that. */
async function fleetMetrics(): Promise<string> {
  const registry = new Registry();
  const fleet = new FleetMetrics(registry);
  fleet.sampleFleet(() => ({ isUp: true, nodes: 3, leases: 0 }));
  fleet.peerAnswered('blob', 'given');
  fleet.peerBytes('docker.io', 1);
  return `${await registry.metrics()}\n`;
}

/** What a mirror that hosts repositories exports beside that. */
async function uploadMetrics(): Promise<string> {
  const registry = new Registry();
  const uploads = new UploadMetrics(registry);
  uploads.received(1);
  uploads.uploadsOpen(1);
  uploads.uploadEnded('committed');
  new CollectionMetrics(registry, () => ({ bytes: 1, repositories: 1 }));
  return `${await registry.metrics()}\n`;
}

/** What a mirror with TLS exports beside that. */
async function certificateMetrics(): Promise<string> {
  const registry = new Registry();
  new CertificateMetrics(registry, { expiries: () => new Map([['main', 1]]) });
  return `${await registry.metrics()}\n`;
}

/** What a mirror with traces exports beside that. */
async function traceMetrics(): Promise<string> {
  const registry = new Registry();
  new TraceMetrics(registry).spansExported(1, true);
  return `${await registry.metrics()}\n`;
}

test('docs/metrics.md lists exactly the families and labels that are exported', async () => {
  const { types, labels } = await scrape();
  const exported = [...types.keys()].filter(name => name.startsWith('cistern_'));
  expect([...documented.keys()].sort()).toEqual(exported.sort());
  for (const name of exported) {
    expect(types.get(name) === 'histogram', name).toBe(documented.get(name)?.isHistogram);
    const found = labels.get(name);
    if (found !== undefined)
      expect(found.sort(), name).toEqual([...(documented.get(name)?.labels ?? [])].sort());
  }
  // Most have a series after one pull, so that the comparison isn't empty.
  expect(exported.filter(name => labels.has(name)).length).toBeGreaterThan(exported.length / 2);
});

describe.each([
  ['the dashboard', dashboardExpressions()],
  ['the alerts', alertExpressions()],
])('%s', (_, expressions) => {
  test('uses only metrics and labels that are exported', async () => {
    const { types, labels } = await scrape();
    expect(expressions.length).toBeGreaterThan(5);
    const wrong = expressions.flatMap(({ title, text, shown }) => {
      const { metrics, groupings } = readExpression(text);
      expect(metrics, title).not.toEqual([]);
      return metrics.flatMap(({ name, matchers }) => {
        if (name === 'up') return unknownIn([...matchers.keys(), ...shown], ownLabels, `${title}: up`);
        const family = familyOf(name, types);
        const isBucket = name.endsWith('_bucket');
        if (!types.has(family) || (types.get(family) === 'histogram') !== (family !== name))
          return [`${title}: no series ${name}`];
        const known = [
          ...(documented.get(family)?.labels ?? labels.get(family) ?? []),
          ...ownLabels,
          ...(isBucket ? ['le'] : []),
        ];
        return unknownIn([...matchers.keys(), ...groupings, ...shown], known, `${title}: ${name}`);
      });
    });
    expect(wrong).toEqual([]);
  });

  test('shows no label that its grouping has taken away', () => {
    for (const { title, text, shown } of expressions) {
      const { groupings } = readExpression(text);
      if (/\b(?:sum|max|min|count)\b/.test(text))
        expect(groupings, title).toEqual(expect.arrayContaining([...shown]));
    }
  });

  test('matches kinds and outcomes that there are', () => {
    for (const label of ['kind', 'outcome']) {
      const [item = ''] = new RegExp(`^- \`${label}\`: (?:.*\n(?:  .*\n)*)`, 'm').exec(document) ?? [];
      const values = quoted(item);
      expect(values.length, label).toBeGreaterThan(3);
      const matched = expressions.flatMap(({ text }) =>
        readExpression(text).metrics.flatMap(({ matchers }) => matchers.get(label)?.split('|') ?? []),
      );
      for (const value of matched) expect(values).toContain(value);
    }
  });
});

/** A histogram's series carry suffixes. */
function familyOf(series: string, types: ReadonlyMap<string, string>): string {
  const family = series.replace(/_(?:bucket|sum|count)$/, '');
  return types.get(family) === 'histogram' ? family : series;
}

function unknownIn(used: readonly string[], known: readonly string[], where: string): string[] {
  return used.filter(label => !known.includes(label)).map(label => `${where} has no label ${label}`);
}

function quoted(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word);
}
