/**
 * What others do to a client: hot manifests while 20,000 files are evicted for 20 cold pulls at 10 MB/s, and the memory that 500 slow
 * clients of one cold blob take.
 */
import { createHash } from 'node:crypto';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { spawnProcess } from '../support/process.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';
import { download } from './load.ts';
import { programFile } from './programs.ts';
import { isQuick, roundsOf, Table } from './report.ts';
import { startCistern } from './servers/registries.ts';
import { startRelay } from './servers/relay.ts';
import { cpuSeconds, megabytes } from './usage.ts';

const files = 20_000;
const fileBytes = 20_000;
const layers = 20;
const layerBytes = 20_000_000;

test('hot manifests beside evictions', async () => {
  const table = new Table('Hot manifests beside evictions', {
    'p50 ms': 2,
    'p99 ms': 2,
    'longest ms': 1,
    evicted: 0,
  });
  for (let round = 0; round < roundsOf(3); round += 1) {
    const path = join(await tempDir(), 'data');
    await fillStore(path);
    const upstream = await startFakeUpstream();
    upstream.put('library/alpine', buildImage(), 'latest');
    const slow = await startRelay(upstream.url, { bytesPerSecond: 10_000_000 });
    const server = await startCistern(slow, {
      store: { path, max_size: files * fileBytes + 1_000_000, low_watermark: '99%' },
    });
    await expect
      .poll(async () => JSON.parse((await get(server.url, '/readyz')).body.toString()).storeScanned, {
        timeout: 60_000,
      })
      .toBe(true);
    add(table, 'idle', await latencies(server.url, delay(4000)), 0);
    const blobs = Array.from({ length: layers }, (_, at) => patternBlob(`bench: evicts ${at}`, layerBytes));
    for (const blob of blobs) upstream.putBlob('library/big', blob.digest, blob);
    const pulls = blobs.map(({ digest }) =>
      download(`${server.url}/v2/library/big/blobs/${digest}`, { clients: 1, times: 1, bytes: layerBytes }),
    );
    const times = await latencies(server.url, Promise.all(pulls));
    const metrics = (await get(server.url, '/metrics')).body.toString();
    add(
      table,
      'while 20 cold pulls evict',
      times,
      Number(/^cistern_evictions_total (\d+)/m.exec(metrics)?.[1]),
    );
    await server.stop();
  }
  table.print();
});

/** Sorted. One request each 2 ms or so, by a process of its own, until `until` is done. Milliseconds. */
async function latencies(url: string, until: Promise<unknown>): Promise<number[]> {
  const { hostname, port } = new URL(url);
  const path = '/v2/library/alpine/manifests/latest';
  const client = spawnProcess(process.execPath, [programFile('latency'), hostname, port, path]);
  await until;
  client.signal('SIGTERM');
  await client.exited;
  return client.output.trim().split(' ').map(Number);
}

function add(table: Table, row: string, times: readonly number[], evicted: number): void {
  const at = (share: number): number => times[Math.floor((times.length - 1) * share)] ?? Number.NaN;
  table.add(row, { 'p50 ms': at(0.5), 'p99 ms': at(0.99), 'longest ms': at(1), evicted });
}

/** Sparse files that no record names. */
async function fillStore(path: string): Promise<void> {
  const folder = join(path, 'blobs-v1', 'sha256');
  for (let n = 0; n < 256; n += 1)
    await mkdir(join(folder, n.toString(16).padStart(2, '0')), { recursive: true });
  for (let n = 0; n < files; n += 1) {
    const hex = createHash('sha256').update(String(n)).digest('hex');
    const file = await open(join(folder, hex.slice(0, 2), hex), 'w');
    await file.truncate(fileBytes);
    await file.close();
  }
}

test('slow clients', async () => {
  const clients = 500;
  const bytes = 64_000_000;
  const table = new Table('500 clients of 1 MB/s on one cold blob of 64 MB', {
    'VmHWM MB': 0,
    'CPU s': 2,
    'whole bodies': 0,
    'upstream bytes': 2,
  });
  for (let round = 0; round < roundsOf(1); round += 1) {
    const blob = patternBlob('bench: slow clients', bytes);
    const upstream = await startFakeUpstream();
    upstream.putBlob('library/big', blob.digest, blob);
    const server = await startCistern(upstream.url);
    const before = cpuSeconds(server.pids);
    const url = `${server.url}/v2/library/big/blobs/${blob.digest}`;
    const bytesPerSecond = isQuick ? 8_000_000 : 1_000_000;
    const { whole } = await download(url, { clients, times: 1, bytes, bytesPerSecond });
    table.add('Cistern', {
      'VmHWM MB': megabytes(server.pids, 'VmHWM'),
      'CPU s': cpuSeconds(server.pids) - before,
      'whole bodies': whole,
      'upstream bytes': upstream.contentBytes('blob') / bytes,
    });
    await server.stop();
  }
  table.print();
});
