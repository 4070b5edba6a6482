/**
 * A held manifest, by tag and by digest, as often as one thread of wrk can ask for it over 32 connections. A bare
 * node:http and a bare Koa server that answer with the same bytes and headers say what the platform costs.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'vitest';
import { buildImage } from '../support/images.ts';
import { unusedPort } from '../support/ports.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';
import { requestRate } from './load.ts';
import { roundsOf, Table } from './report.ts';
import { available, debianRegistry, distributionV3, startCistern, zot } from './servers/registries.ts';
import { type MeasuredServer, startBareServer } from './servers/start.ts';

const rounds = roundsOf(9);
const seconds = 2;

test('a hot manifest', async () => {
  const image = buildImage({ layers: Array.from({ length: 8 }, (_, at) => `layer ${at}`) });
  const upstream = await startFakeUpstream();
  const digest = upstream.put('library/alpine', image, 'latest');
  const byTag = '/v2/library/alpine/manifests/latest';
  const byDigest = `/v2/library/alpine/manifests/${digest}`;
  const table = new Table('A hot manifest', { 'requests/s': 0, 'CPU s/1000': 3, failed: 0 });

  const silent = await startCistern(upstream.url, { log: { access: false } });
  const logging = await startCistern(upstream.url);
  const bytes = Buffer.from(await (await fetch(silent.url + byTag)).arrayBuffer());
  table.note(`The manifest has ${bytes.length} bytes.`);
  const rows: [name: string, server: MeasuredServer, path: string][] = [
    ['node:http, bare', await bare('node:http', bytes), byTag],
    ['Koa, bare', await bare('Koa', bytes), byTag],
    ['Cistern, no access log, by tag', silent, byTag],
    ['Cistern, no access log, by digest', silent, byDigest],
    ['Cistern, access log, by tag', logging, byTag],
    ['Cistern, access log, by digest', logging, byDigest],
  ];
  for (const kind of available([debianRegistry, distributionV3, zot], why => table.note(why))) {
    const server = await kind.start(upstream.url);
    rows.push(
      [`${kind.name}, access log, by tag`, server, byTag],
      [`${kind.name}, access log, by digest`, server, byDigest],
    );
  }
  for (const [, server, path] of rows) await requestRate(server, path, 1);
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, server, path] of rows) {
      const { perSecond, cpuPerThousand, failed } = await requestRate(server, path, seconds);
      table.add(name, { 'requests/s': perSecond, 'CPU s/1000': cpuPerThousand, failed });
    }
  }
  table.print();
});

async function bare(kind: 'node:http' | 'Koa', bytes: Buffer): Promise<MeasuredServer> {
  const folder = await tempDir();
  const file = join(folder, 'body');
  await writeFile(file, bytes);
  return startBareServer(kind, { folder, port: await unusedPort(), file });
}
