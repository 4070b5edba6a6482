/**
 * The API of the page over 10,000 repositories of 20 blobs each: times of the first views and of a search, the longest turn and the memory
 * that they cost, while blobs are counted for the first time; and the CPU time of 50 open pages. REPOSITORIES=1000 for fewer.
 */
import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { stringify } from 'yaml';
import { digestOf, parseDigest } from '../../src/oci/digest.ts';
import { ociManifest } from '../../src/oci/media-type.ts';
import { parseTag } from '../../src/oci/name.ts';
import { BlobStore } from '../../src/store/blobs/blob-store.ts';
import { StoreLayout } from '../../src/store/layout.ts';
import { Records } from '../../src/store/records/records.ts';
import { get } from '../support/client.ts';
import { openEvents } from '../support/event-stream.ts';
import { spawnProcess } from '../support/process.ts';
import { Recorder } from '../support/recorder.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { type ProgramName, programFile } from './programs.ts';
import { Table } from './report.ts';
import { cpuSeconds } from './usage.ts';

const repositories = Number(process.env['REPOSITORIES'] ?? 10_000);
const blobsPerImage = 20;
const blobBytes = 1000;
const pages = 50;
const watchedSeconds = 20;
const timeoutMs = 1_200_000;

function blobOf(at: number, part: number): string {
  return createHash('sha256').update(`${at} ${part}`).digest('hex');
}

async function fillStore(path: string): Promise<void> {
  const layout = await StoreLayout.open(path);
  const observer = { storeError: () => {} };
  const store = new BlobStore({ layout, observer });
  const records = new Records({ layout, observer, logger: new Recorder().logger });
  const folder = join(path, 'blobs-v1', 'sha256');
  for (let n = 0; n < 256; n += 1)
    mkdirSync(join(folder, n.toString(16).padStart(2, '0')), { recursive: true });
  for (let at = 0; at < repositories; at += 1) {
    const blobs = Array.from({ length: blobsPerImage }, (_, part) => blobOf(at, part));
    for (const hex of blobs) {
      const file = openSync(join(folder, hex.slice(0, 2), hex), 'w');
      ftruncateSync(file, blobBytes);
      closeSync(file);
    }
    const [config = '', ...layers] = blobs.map(hex => `sha256:${hex}`);
    const descriptor = (digest: string, mediaType: string) => ({ mediaType, digest, size: blobBytes });
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: ociManifest,
        config: descriptor(config, 'application/vnd.oci.image.config.v1+json'),
        layers: layers.map(layer => descriptor(layer, 'application/vnd.oci.image.layer.v1.tar+gzip')),
      }),
    );
    const digest = digestOf(bytes);
    await store.put(digest, bytes);
    const record = await records.look(`docker.io/team-${at % 100}/app-${at}`);
    const named = { mediaType: ociManifest, digest, size: bytes.length };
    record.setManifest(named);
    record.setTag(parseTag('latest'), { descriptor: named, checkedAt: Date.now() });
    for (const hex of blobs) record.link(parseDigest(`sha256:${hex}`));
    if (at % 500 === 499) await records.flush();
  }
  await records.close();
}

test('the page at size', { timeout: timeoutMs }, async () => {
  const { path: folder, remove } = await makeTempDir();
  onTestFinished(remove, timeoutMs);
  const path = join(folder, 'data');
  await fillStore(path);
  const file = join(folder, 'mirror.yml');
  writeFileSync(file, stringify({ http: { listen: '127.0.0.1:0' }, store: { path, min_free: 0 } }));
  const start = async (program: ProgramName) => {
    const reportFile = join(folder, program);
    const mirror = spawnProcess(
      process.execPath,
      ['--expose-gc', '--import', programFile(program), 'dist/main.js', 'serve', '--config', file],
      { env: { ...process.env, LONGEST_TURN_FILE: reportFile, COLLECTED_MEMORY_FILE: reportFile } },
    );
    const url = String((await mirror.waitForMessage('listening'))['url']);
    while (JSON.parse((await get(url, '/readyz')).body.toString()).storeScanned !== true) await delay(100);
    await delay(2000);
    const report = async (): Promise<number> => {
      await delay(1000);
      return Number(readFileSync(reportFile, 'utf8'));
    };
    return { mirror, url, report };
  };
  const isCounted = async (url: string): Promise<boolean> =>
    JSON.parse((await get(url, '/api/v1/offline?n=1')).body.toString()).summary !== null;
  const times = new Table(
    `the page over ${repositories} repositories, ${repositories * blobsPerImage} blobs`,
    {
      'first ms': 0,
      'again ms': 1,
    },
  );
  const watched = await start('longest-turn');
  watched.mirror.signal('SIGUSR2');
  const ask = async (path: string): Promise<number> => {
    const since = performance.now();
    expect((await get(watched.url, `/api/v1/${path}`)).status).toBe(200);
    return performance.now() - since;
  };
  for (const [name, paths] of Object.entries({
    'overview: stats, upstreams, history': ['stats', 'upstreams', 'history'],
    'repositories, 50': ['repositories'],
    'images, 50': ['images'],
    'images of the last page': ['images?last=docker.io/team-99/app-5099:latest'],
    'search in repositories: app-9999': ['repositories?q=app-9999'],
    'search in images: app-99': ['images?q=app-99'],
    'search for what is not there': ['repositories?q=nosuch'],
    'an image': ['image?name=team-1/app-1'],
    'offline, 50': ['offline'],
    'cold, 200': ['cold'],
    'cold, 1000': ['cold?n=1000'],
  })) {
    for (let round = 0; round < 6; round += 1) {
      let sum = 0;
      for (const path of paths) sum += await ask(path);
      times.add(name, round === 0 ? { 'first ms': sum } : { 'again ms': sum });
    }
  }
  while (!(await isCounted(watched.url))) await delay(200);
  const costs = new Table('what it costs', { 'longest turn ms': 1, 'memory MB': 1, 'CPU %': 2 });
  costs.add('views, searches and the first count', { 'longest turn ms': await watched.report() });
  await watched.mirror.stop();

  const measured = await start('collected-memory');
  measured.mirror.signal('SIGPWR');
  const before = await measured.report();
  for (const path of ['stats', 'repositories', 'images', 'images?q=app-99', 'offline', 'cold?n=1000'])
    expect((await get(measured.url, `/api/v1/${path}`)).status).toBe(200);
  while (!(await isCounted(measured.url))) await delay(200);
  measured.mirror.signal('SIGPWR');
  costs.add('views, searches and the first count', {
    'memory MB': ((await measured.report()) - before) / 1e6,
  });
  const cpuOver = async (): Promise<number> => {
    const since = cpuSeconds([measured.mirror.pid]);
    await delay(watchedSeconds * 1000);
    return (100 * (cpuSeconds([measured.mirror.pid]) - since)) / watchedSeconds;
  };
  costs.add('no open page', { 'CPU %': await cpuOver() });
  const streams = Array.from({ length: pages }, () => openEvents(measured.url, {}));
  await delay(2000);
  costs.add(`${pages} open pages`, { 'CPU %': await cpuOver() });
  for (const stream of streams) stream.abort();
  await measured.mirror.stop();
  times.print();
  costs.print();
});
