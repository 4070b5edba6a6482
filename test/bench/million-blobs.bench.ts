/**
 * A million blobs in the LRU index, in this process and in Redis: the index alone, with digests from a generator; and the
 * whole mirror on a store of a million sparse files of 1000 bytes. BLOBS=100000 for fewer.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { stringify } from 'yaml';
import { get } from '../support/client.ts';
import { spawnProcess } from '../support/process.ts';
import { type RedisServer, startRedis } from '../support/real/redis.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { indexFigures } from './programs/index-figures.ts';
import { programFile } from './programs.ts';
import { Table } from './report.ts';
import { megabytes } from './usage.ts';

const blobs = Number(process.env['BLOBS'] ?? 1_000_000);
const timeoutMs = 1_200_000;

async function redisMegabytes(redis: RedisServer): Promise<number> {
  const info = await redis.client().info('memory');
  return Number(/used_memory:(\d+)/.exec(info)?.[1]) / 1e6;
}

test('the index alone', { timeout: timeoutMs }, async () => {
  const steps = new Table(`${blobs} blobs, the index alone: steps`, {
    seconds: 2,
    'CPU s': 2,
    'longest turn ms': 1,
  });
  const sums = new Table(`${blobs} blobs, the index alone: memory`, {
    'peak MB': 0,
    'Redis MB': 0,
    'Redis bytes/blob': 0,
  });
  for (const backend of ['embedded', 'Redis']) {
    const redis = backend === 'Redis' ? await startRedis() : undefined;
    const emptyMegabytes = redis === undefined ? 0 : await redisMegabytes(redis);
    const args = [
      programFile('million-index'),
      String(blobs),
      ...(redis === undefined ? [] : [String(redis.port)]),
    ];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    const figures = indexFigures.parse(JSON.parse(stdout));
    const names = {
      load: 'load from a generator',
      fill: 'fill an empty Redis',
      touch: `${figures.touches} touches`,
      tell: 'tell Redis of them',
      evict: `evict ${figures.evicted}`,
      compare: 'compare after an absence',
    } as const;
    for (const step of ['load', 'fill', 'touch', 'tell', 'evict', 'compare'] as const) {
      if (redis === undefined && ['fill', 'tell', 'compare'].includes(step)) continue;
      const { seconds, cpuSeconds, longestMs } = figures[step];
      steps.add(`${backend}: ${names[step]}`, { seconds, 'CPU s': cpuSeconds, 'longest turn ms': longestMs });
    }
    sums.add(backend, { 'peak MB': figures.peakBytes / 1e6 });
    if (redis !== undefined) {
      const used = (await redisMegabytes(redis)) - emptyMegabytes;
      sums.add(backend, { 'Redis MB': used, 'Redis bytes/blob': (used * 1e6) / (blobs - figures.evicted) });
    }
  }
  steps.print();
  sums.print();
});

function fillStore(store: string): void {
  const folder = join(store, 'blobs-v1', 'sha256');
  for (let n = 0; n < 256; n += 1)
    mkdirSync(join(folder, n.toString(16).padStart(2, '0')), { recursive: true });
  for (let n = 0; n < blobs; n += 1) {
    const hex = createHash('sha256').update(String(n)).digest('hex');
    const file = openSync(join(folder, hex.slice(0, 2), hex), 'w');
    ftruncateSync(file, 1000);
    closeSync(file);
  }
}

test('the whole mirror', { timeout: timeoutMs }, async () => {
  const { path: folder, remove } = await makeTempDir();
  onTestFinished(remove, timeoutMs);
  const store = join(folder, 'data');
  fillStore(store);
  const columns = {
    'serves s': 2,
    'read s': 1,
    'in Redis s': 1,
    'longest turn ms': 1,
    'VmRSS MB': 0,
    'VmHWM MB': 0,
  };
  const table = new Table(`${blobs} sparse files: a start of the mirror`, columns);
  const redis = await startRedis();
  const backends = {
    embedded: {},
    'Redis, empty': { redis: redis.url },
    'Redis, filled': { redis: redis.url },
  };
  for (const [name, lru] of Object.entries(backends)) {
    const file = join(folder, 'mirror.yml');
    const longestFile = join(folder, 'longest');
    const config = { http: { listen: '127.0.0.1:0' }, store: { path: store, min_free: 0 }, lru };
    writeFileSync(file, stringify(config));
    const since = performance.now();
    const secondsSince = (): number => (performance.now() - since) / 1000;
    const mirror = spawnProcess(
      process.execPath,
      ['--import', programFile('longest-turn'), 'dist/main.js', 'serve', '--config', file],
      { env: { ...process.env, LONGEST_TURN_FILE: longestFile } },
    );
    const { url } = await mirror.waitForMessage('listening');
    expect((await get(String(url), '/v2/')).status).toBe(200);
    const served = secondsSince();
    const isRead = async () =>
      JSON.parse((await get(String(url), '/readyz')).body.toString()).storeScanned === true;
    await isRead();
    mirror.signal('SIGUSR2');
    while (!(await isRead())) await delay(100);
    table.add(name, { 'serves s': served, 'read s': secondsSince() });
    const { body } = await get(String(url), '/metrics');
    expect(body.toString()).toContain(`\ncistern_store_blobs ${blobs}\n`);
    if ('redis' in lru) {
      await mirror.waitForMessage('the LRU index in Redis is reconciled');
      table.add(name, { 'in Redis s': secondsSince() });
    }
    await delay(1000);
    table.add(name, {
      'longest turn ms': Number(readFileSync(longestFile, 'utf8')),
      'VmRSS MB': megabytes([mirror.pid], 'VmRSS'),
      'VmHWM MB': megabytes([mirror.pid], 'VmHWM'),
    });
    await mirror.stop();
  }
  table.print();
});
