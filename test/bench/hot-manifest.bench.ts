/**
 * A held manifest, by tag and by digest, as often as one thread of wrk can ask for it over 32 connections. A bare
 * node:http and a bare Koa server that answer with the same bytes and headers say what the platform costs.
 */
import { test } from 'vitest';
import { buildImage } from '../support/images.ts';
import { startFakeUpstream } from '../support/upstream.ts';
import { requestRate } from './load.ts';
import { Table } from './report.ts';
import { startBareServer, startCistern, startDistributionProxy } from './servers.ts';

const rounds = 5;
const seconds = 2;

test('a hot manifest', async () => {
  const image = buildImage({ layers: Array.from({ length: 8 }, (_, at) => `layer ${at}`) });
  const upstream = await startFakeUpstream();
  const digest = upstream.put('library/alpine', image, 'latest');
  const byTag = '/v2/library/alpine/manifests/latest';
  const byDigest = `/v2/library/alpine/manifests/${digest}`;

  const silent = await startCistern(upstream.url, { access: false });
  const logging = await startCistern(upstream.url);
  const distribution = await startDistributionProxy(upstream.url);
  const bytes = Buffer.from(await (await fetch(silent.url + byTag)).arrayBuffer());
  const http = await startBareServer('node:http', bytes);
  const koa = await startBareServer('Koa', bytes);
  const rows = [
    ['node:http, bare', http, byTag],
    ['Koa, bare', koa, byTag],
    ['Cistern, no access log, by tag', silent, byTag],
    ['Cistern, no access log, by digest', silent, byDigest],
    ['Cistern, access log, by tag', logging, byTag],
    ['Cistern, access log, by digest', logging, byDigest],
    ['docker-registry, access log, by tag', distribution, byTag],
    ['docker-registry, access log, by digest', distribution, byDigest],
  ] as const;
  for (const [, { url, pid }, path] of rows) await requestRate(url + path, pid, 1);

  const table = new Table(`A hot manifest of ${bytes.length} bytes`, {
    'requests/s': 0,
    'CPU s/1000': 3,
    failed: 0,
  });
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, { url, pid }, path] of rows) {
      const { perSecond, cpuPerThousand, failed } = await requestRate(url + path, pid, seconds);
      table.add(name, { 'requests/s': perSecond, 'CPU s/1000': cpuPerThousand, failed });
    }
  }
  table.print();
});
