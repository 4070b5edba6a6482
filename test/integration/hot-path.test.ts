/**
 * What a hit may cost: no request upstream, no round trip to Redis, no JSON that is parsed; of the disk nothing for a manifest, and for a blob
 * one open, one fstat, and reads. Counted, so that it holds on every machine.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { get, head } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { spawnWithFigure } from '../support/daemon-figure.ts';
import { buildImage } from '../support/images.ts';
import { spawnTestMirror, startTestMirror, type TestMirrorOptions } from '../support/mirror.ts';
import { spawnProcess } from '../support/process.ts';
import { startRedis } from '../support/real/redis.ts';
import { startRedisProxy } from '../support/redis-proxy.ts';
import { requires } from '../support/requires.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const layer = patternBlob('hot layer', 3_000_000);
const image = buildImage({ layers: [layer] });
const blobPath = `/v2/library/app/blobs/${layer.digest}`;
const manifestPaths = ['latest', image.digest].map(reference => `/v2/library/app/manifests/${reference}`);
const rounds = 20;
/** As `HeldBlob` reads: 512 KiB at a time. */
const readsOfLayer = Math.ceil(layer.size / (512 * 1024));

async function upstreamWithImage() {
  const upstream = await startFakeUpstream();
  upstream.put('library/app', image, 'latest');
  return upstream;
}

async function pull(url: string): Promise<void> {
  for (const path of manifestPaths) expect((await get(url, path)).status).toBe(200);
  expect(await get(url, blobPath, { keep: false })).toMatchObject({ status: 200, sha256: layer.digest });
}

/** Everything is held, in memory where it belongs there, and the tag is fresh. */
const config = { tags: { ttl: '1h' } } satisfies TestMirrorOptions['config'];

requires('redis-server')('with the LRU index in Redis', () => {
  test('hits are answered while Redis says nothing, and no upstream is asked', async () => {
    const upstream = await upstreamWithImage();
    const proxy = await startRedisProxy((await startRedis()).port);
    const lru = { redis: `redis://127.0.0.1:${proxy.port}` };
    const { url } = await startTestMirror({ upstream, config: { ...config, lru } });
    await pull(url);
    await expect.poll(() => proxy.commands.some(name => name.startsWith('eval'))).toBe(true); // it is in use
    const before = upstream.lines().length;
    proxy.hold();
    for (let round = 0; round < rounds; round += 1) {
      await pull(url);
      expect((await head(url, blobPath)).status).toBe(200);
      expect((await get(url, blobPath, { headers: { Range: 'bytes=1000000-1999999' } })).status).toBe(206);
    }
    expect(upstream.lines().slice(before)).toEqual([]);
  });
});

requires('strace')('system calls', () => {
  test('a hot manifest touches no file, a hot blob is opened once, asked for its size once, and read', async () => {
    const upstream = await upstreamWithImage();
    const { url, process: daemon, storePath } = await spawnTestMirror({ upstream, config });
    for (let round = 0; round < 3; round += 1) await pull(url);
    const hex = layer.digest.slice('sha256:'.length);
    const blobs = join(storePath, 'blobs-v1'); // manifests too
    const file = join(blobs, 'sha256', hex.slice(0, 2), hex);
    const calls: string[] = [];
    const argv = ['-f', '-y', '-p', String(daemon.pid), '-e', 'trace=file,desc', '-e', 'status=successful'];
    const strace = spawnProcess('strace', argv);
    await strace.waitFor(line => (/attached/.test(line) ? line : undefined));
    strace
      .waitFor(line => {
        const name = /\b([a-z][a-z0-9_]*)\(/.exec(line)?.[1];
        if (name !== 'utimensat' && line.includes(blobs))
          calls.push(line.includes(file) ? (name ?? line) : line); // that one is of the last uses
        return undefined;
      })
      .catch(() => undefined); // it reads until the end
    for (let round = 0; round < rounds; round += 1) for (const path of manifestPaths) await get(url, path);
    expect(calls).toEqual([]);
    for (let round = 0; round < rounds; round += 1) await get(url, blobPath, { keep: false });
    await strace.stop();
    const count = (...names: string[]) => calls.filter(name => names.includes(name)).length;
    expect(count('openat')).toBe(rounds);
    expect(count('fstat', 'newfstatat', 'statx')).toBe(rounds);
    expect(count('pread64')).toBe(rounds * readsOfLayer);
    expect(new Set(calls)).toEqual(
      new Set(['openat', 'pread64', 'close', ...calls.filter(name => /stat/.test(name))]),
    );
  });
});

test('no JSON is parsed for a hit', async () => {
  const upstream = await upstreamWithImage();
  const { url, figure: parses } = await spawnWithFigure('count-parses', { upstream, config });
  for (let round = 0; round < 3; round += 1) await pull(url);
  const before = await parses();
  expect(before).toBeGreaterThan(0);
  for (let round = 0; round < rounds; round += 1) await pull(url);
  expect(await parses()).toBe(before);
});
