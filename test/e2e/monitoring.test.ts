/**
 * deploy/prometheus.yml, deploy/alerts.yml and the dashboard's expressions in the hands of Prometheus itself, which
 * scrapes real mirrors that were pulled through.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { get, request } from '../support/client.ts';
import { askForGc, hostedConfig, pushImage } from '../support/collection-soak.ts';
import { patternBlob } from '../support/content.ts';
import { cut } from '../support/faults.ts';
import { buildImage } from '../support/images.ts';
import { spawnTestMirror } from '../support/mirror.ts';
import { alertExpressions, dashboardExpressions, deployFolder } from '../support/monitoring.ts';
import { unusedPort } from '../support/ports.ts';
import { spawnProcess } from '../support/process.ts';
import { runCommand } from '../support/real/command.ts';
import { startRedis } from '../support/real/redis.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';
import { pushBlob } from '../support/upload-client.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';
import { WebhookReceiver } from '../support/webhook-receiver.ts';
import { alertCases } from './alert-cases.ts';

const waiting = { timeout: 30_000, interval: 100 };

requires('prometheus', 'redis-server')('monitoring', () => {
  test('the configuration and the alerts are what Prometheus takes', async () => {
    const { code, stdout, stderr } = await runCommand([
      'promtool',
      'check',
      'config',
      join(deployFolder, 'prometheus.yml'),
    ]);
    expect(code, stdout + stderr).toBe(0);
  });

  test('each alert comes when it should, with its sentence, and not before', async () => {
    expect([...new Set(alertCases.map(({ alert }) => alert))].sort()).toEqual(
      alertExpressions()
        .map(({ title }) => title)
        .sort(),
    );
    const file = join(await tempDir(), 'alerts.test.yml');
    const tests = alertCases.map(({ alert, series, quietAt, firingAt, labels, summary }) => ({
      interval: '1m',
      input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
      alert_rule_test: [
        { eval_time: quietAt, alertname: alert, exp_alerts: [] },
        {
          eval_time: firingAt,
          alertname: alert,
          exp_alerts: [{ exp_labels: labels, exp_annotations: { summary } }],
        },
      ],
    }));
    await writeFile(file, stringify({ rule_files: [join(deployFolder, 'alerts.yml')], tests }));
    const { code, stdout, stderr } = await runCommand(['promtool', 'test', 'rules', file]);
    expect(code, stdout + stderr).toBe(0);
  });

  test('no panel shows NaN: neither of a new mirror, nor of one that nothing is asked of any more', async () => {
    const upstream = await startFakeUpstream({ rateLimit: { limit: 100 } });
    const image = buildImage();
    upstream.put('library/alpine', image, '3.20');
    const { mirror, push } = await startRegistry(upstream);
    const metrics = (await get(mirror.url, '/metrics')).body.toString();
    // Node's lags have no value before their first sample: whether the first question comes before it is chance.
    const fresh = idleSeries(metrics.replaceAll(/^(nodejs_eventloop_lag_\w+) \S+$/gm, '$1 Nan'));
    expect(fresh.filter(({ values }) => values.startsWith('NaN')).length).toBeGreaterThan(0);
    expect((await get(mirror.url, '/v2/library/alpine/manifests/3.20')).status).toBe(200);
    for (const { descriptor } of image.blobs)
      expect((await get(mirror.url, `/v2/library/alpine/blobs/${descriptor.digest}`)).status).toBe(200);
    await push('1');
    const pulled = idleSeries((await get(mirror.url, '/metrics')).body.toString());
    expect(pulled.length).toBeGreaterThan(fresh.length);

    const file = join(await tempDir(), 'panels.test.yml');
    // NaN is the one value that differs from itself.
    const questions = dashboardExpressions().map(({ text }) => ({
      expr: `(${text}) != (${text})`,
      eval_time: '100m',
      exp_samples: [],
    }));
    const tests = [fresh, pulled].map(input => ({
      interval: '1m',
      input_series: input,
      promql_expr_test: questions,
    }));
    await writeFile(file, stringify({ tests }));
    const { code, stdout, stderr } = await runCommand(['promtool', 'test', 'rules', file]);
    expect(code, stdout + stderr).toBe(0);
  });

  test('every expression finds something of two nodes that were pulled through, and of a private registry', async () => {
    const upstream = await startFakeUpstream({ rateLimit: { limit: 100 } });
    const [mirror, other] = await startFleet(upstream);
    const registry = await startRegistry(upstream);
    await pullThrough(upstream, mirror, other, '3.20');
    await registry.push('1');
    const prometheus = await startPrometheus(
      [mirror, other, registry.mirror].map(({ url }) => new URL(url).host),
    );
    const query = async (
      expression: string,
    ): Promise<readonly { metric: object; value: [number, string] }[]> => {
      const { body } = await get(prometheus, `/api/v1/query?query=${encodeURIComponent(expression)}`);
      const answer = JSON.parse(body.toString());
      expect(answer, expression).toMatchObject({ status: 'success' });
      return answer.data.result;
    };
    // What grew between two scrapes has a rate.
    const waitForScrapes = async (count: number) =>
      await vi.waitFor(
        async () =>
          expect(await query(`count_over_time(cistern_store_bytes[1m]) >= ${count}`)).toHaveLength(3),
        waiting,
      );
    await waitForScrapes(1);
    await pullThrough(upstream, mirror, other, '3.21');
    await registry.push('2');
    const [
      {
        value: [, scrapes],
      } = { value: [0, '0'] },
    ] = await query('max(count_over_time(cistern_store_bytes[1m]))');
    await waitForScrapes(Number(scrapes) + 2);

    const empty: string[] = [];
    for (const { title, text } of dashboardExpressions())
      if ((await query(text)).length === 0) empty.push(`${title}: ${/cistern_\w+/.exec(text)?.[0]}`);
    // Nothing failed here, and what can fail isn't known before.
    expect(empty).toEqual(['Failures: cistern_store_errors_total']);
    const found = (await query('up{job="cistern"} == 1')).map(({ metric }) => metric);
    expect(found).toHaveLength(3);
    expect(found).toContainEqual(expect.objectContaining({ instance: new URL(mirror.url).host }));
    // The store of this test is too small on purpose; two more depend on how busy this machine is.
    const excepted = ['CisternStoreTooSmall', 'CisternFirstByteSlow', 'CisternUpstreamSlow'];
    for (const { title, text } of alertExpressions())
      if (!excepted.includes(title)) expect(await query(text), text).toEqual([]);
    const { body } = await get(prometheus, '/api/v1/rules');
    const [{ rules }] = JSON.parse(body.toString()).data.groups;
    expect(rules.map(({ name }: { name: string }) => name)).toEqual(
      alertExpressions().map(({ title }) => title),
    );
  });
});

/** Misses, hits, a resumed transfer and evictions at `mirror`; a transfer that `other` copies while it runs. */
async function pullThrough(
  upstream: FakeUpstream,
  mirror: { readonly url: string },
  other: { readonly url: string },
  tag: string,
): Promise<void> {
  const layers = ['first', 'second', 'third'].map(seed => patternBlob(`${seed} ${tag}`, 5_000_000));
  const image = buildImage({ layers });
  upstream.put('library/alpine', image, tag);
  const [broken = '', , shared = ''] = layers.map(({ digest }) => digest);
  upstream.fault({ digest: broken }, cut(1_000_000));
  for (let pull = 0; pull < 2; pull += 1) {
    expect((await get(mirror.url, `/v2/library/alpine/manifests/${tag}`)).status).toBe(200);
    for (const { descriptor } of image.blobs.filter(blob => blob.descriptor.digest !== shared)) {
      const path = `/v2/library/alpine/blobs/${descriptor.digest}`;
      expect(await get(mirror.url, path)).toMatchObject({ status: 200, sha256: descriptor.digest });
    }
  }
  const path = `/v2/library/alpine/blobs/${shared}`;
  const gate = upstream.holdAfter({ digest: shared }, 2_000_000);
  const first = request(mirror.url, { path });
  await gate.reached;
  const second = request(other.url, { path });
  await second.atLeast(1_000_000);
  gate.release();
  for (const call of [first, second]) expect(await call.done).toMatchObject({ status: 200, sha256: shared });
}

/** What was scraped once, and then stays as it is for 2 hours. */
function idleSeries(metrics: string): { series: string; values: string }[] {
  return [...metrics.matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm)].map(([, name, labels = '', value]) => ({
    series: `${name}{${[labels, 'job="cistern", instance="node1"'].filter(Boolean).join(', ')}}`,
    values: value === 'Nan' ? 'NaN+0x120' : `${value}x120`, // promtool reads no other word for it
  }));
}

/** Two nodes on one Redis that know of each other, with room for two layers each. */
async function startFleet(upstream: { readonly url: string }) {
  const redis = await startRedis();
  const start = async () => {
    const port = await unusedPort();
    return await spawnTestMirror({
      upstream,
      config: {
        http: { listen: `127.0.0.1:${port}` },
        store: { max_size: '12MB' },
        lru: { redis: redis.url },
        fleet: {
          name: 'test',
          advertise: `http://127.0.0.1:${port}`,
          secret: 'of the nodes of this test alone',
        },
      },
    });
  };
  const nodes = [await start(), await start()] as const;
  await vi.waitFor(async () => {
    for (const node of nodes) expect(await node.metric('cistern_fleet_nodes')).toBe(2);
  }, waiting);
  return nodes;
}

/** A mirror that hosts and notifies. `push` brings an image and what a collection then removes. */
async function startRegistry(upstream: FakeUpstream) {
  const receiver = await WebhookReceiver.start();
  const secret = join(await tempDir(), 'secret');
  await writeFile(secret, receiver.secret);
  const notifications = [{ name: 'ci', url: receiver.url.href, secret_file: secret, events: ['push'] }];
  const mirror = await spawnTestMirror({
    upstream,
    // No receiver of traces is there: the series begin at 0.
    config: {
      ...hostedConfig({ gc_grace: 0 }),
      notifications,
      tracing: { endpoint: 'http://127.0.0.1:9', sample: 0 },
    },
  });
  const push = async (tag: string): Promise<void> => {
    const told = receiver.taken.length;
    expect(await pushImage(mirror, 'team/app', buildImage({ layers: [tag] }), tag)).toBe(201);
    expect(await pushBlob(mirror.url, 'team/app', patternBlob(`loose ${tag}`, 100_000))).toBe(201);
    expect((await askForGc(mirror)).freedBytes).toBe(100_000);
    await receiver.untilTaken(told + 1);
    await vi.waitFor(
      async () =>
        expect(
          await mirror.metric('cistern_notifications_total{target="ci",result="delivered"}'),
        ).toBeGreaterThan(told),
      waiting,
    );
  };
  return { mirror, push };
}

/** As configured in deploy/, but for the targets, which have no names here, and the time between scrapes. Gives its URL. */
async function startPrometheus(targets: readonly string[]): Promise<string> {
  const folder = await tempDir();
  const config = parse(await readFile(join(deployFolder, 'prometheus.yml'), 'utf8'));
  const [{ dns_sd_configs: _names, ...job }] = config.scrape_configs;
  const file = join(folder, 'prometheus.yml');
  await writeFile(
    file,
    stringify({
      ...config,
      global: { scrape_interval: '200ms', evaluation_interval: '200ms' },
      rule_files: [join(deployFolder, 'alerts.yml')],
      scrape_configs: [{ ...job, static_configs: [{ targets }] }],
    }),
  );
  const flags = [
    `--config.file=${file}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    '--web.listen-address=127.0.0.1:0',
  ];
  const prometheus = spawnProcess('prometheus', flags);
  const address = await prometheus.waitFor(
    line => /msg="?Listening on"?.* address=(\S+)/.exec(line)?.[1],
    'its address',
  );
  await prometheus.waitFor(line => (line.includes('ready to receive web requests') ? line : undefined));
  return `http://${address}`;
}
