/** `cistern stats`, `ls` and `refresh`: of a running daemon over its socket, and of the store when none runs. */
import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { runCistern, runForJson } from '../support/cistern-command.ts';
import { get, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage, buildIndex } from '../support/images.ts';
import { spawnTestMirror } from '../support/mirror.ts';
import { startFakeUpstream } from '../support/upstream.ts';
import { blobsOf, bytesOf, isOnDisk, pull, recordBytes } from './commands-rig.ts';

const hub = 'docker.io/library';

test('ls: what is held, the same from the daemon and from the store', async () => {
  const upstream = await startFakeUpstream();
  const [whole, part] = [buildImage({ layers: ['whole'] }), buildImage({ layers: ['part', 'other part'] })];
  const byDigest = buildImage({ layers: ['by digest'] });
  const index = buildIndex();
  const [child] = index.children;
  if (child === undefined) throw new Error('expected a child');
  upstream.put('library/whole', whole, 'latest');
  upstream.put('library/part', part, '1.0');
  upstream.put('library/part', byDigest);
  upstream.put('team/multi', index, 'v1');
  const mirror = await spawnTestMirror({ upstream });
  await pull(mirror, 'library/whole', whole);
  await get(mirror.url, '/v2/library/part/manifests/1.0');
  await pull(mirror, `library/part@${byDigest.digest}`, byDigest);
  await get(mirror.url, '/v2/team/multi/manifests/v1');
  await pull(mirror, `team/multi@${child.digest}`, child);

  const held = await runForJson(mirror.file, 'ls');
  const { mediaType } = whole;
  const iso = expect.stringMatching(/^20\d\d-\d\d-\d\dT/);
  const complete = { mediaType, complete: true, pinned: false, lastUsedAt: iso };
  expect(held).toEqual({
    images: [
      {
        repository: `${hub}/part`,
        tag: '1.0',
        digest: part.digest,
        mediaType,
        complete: false,
        heldBytes: part.bytes.length,
        neededBytes: bytesOf(part),
        checkedAt: iso,
        lastUsedAt: null,
        pinned: false,
      },
      {
        repository: `${hub}/part`,
        tag: null,
        digest: byDigest.digest,
        ...complete,
        heldBytes: bytesOf(byDigest),
        neededBytes: bytesOf(byDigest),
        checkedAt: null,
      },
      {
        repository: `${hub}/whole`,
        tag: 'latest',
        digest: whole.digest,
        ...complete,
        heldBytes: bytesOf(whole),
        neededBytes: bytesOf(whole),
        checkedAt: iso,
      },
      {
        repository: 'docker.io/team/multi',
        tag: 'v1',
        digest: index.digest,
        ...complete,
        mediaType: index.mediaType,
        heldBytes: bytesOf(child) + index.bytes.length,
        neededBytes: bytesOf(child) + index.bytes.length,
        checkedAt: iso,
      },
    ],
  });
  const { stdout } = await runCistern(mirror.file, 'ls', `${hub}/*`);
  const lines = stdout.split('\n');
  expect(lines).toHaveLength(5);
  expect(lines[0]).toMatch(/^IMAGE +DIGEST +SIZE +HELD +CHECKED +USED$/);
  expect(lines[1]).toMatch(
    /^docker\.io\/library\/part:1\.0 +sha256:[0-9a-f]{12} +\S+ B of \S+ KiB +partial +\d+ (?:s|min) ago +-$/,
  );
  expect(lines[3]).toMatch(
    /^docker\.io\/library\/whole:latest +sha256:[0-9a-f]{12} +\S+ KiB +complete +\d+ (?:s|min) ago +\d+ (?:s|min) ago$/,
  );

  await mirror.process.stop();
  expect(await runForJson(mirror.file, 'ls')).toEqual(held);
  expect(await runForJson(mirror.file, 'ls', 'ghcr.io/**')).toEqual({ images: [] });
  expect(await runCistern(mirror.file, 'ls', 'ghcr.io/**')).toEqual({
    code: 0,
    stdout: 'nothing is held\n',
    stderr: '',
  });
});

test('stats: figures of the daemon with the downloads that run, of the store alone when none runs', async () => {
  const upstream = await startFakeUpstream({ rateLimit: { limit: 100, windowS: 3600 } });
  const image = buildImage({ layers: ['small'] });
  const big = patternBlob('big', 3_000_000);
  upstream.put('library/app', image, 'latest');
  upstream.putBlob('library/app', big.digest, big);
  const mirror = await spawnTestMirror({ upstream, config: { store: { max_size: '64MiB' } } });
  await pull(mirror, 'library/app', image);
  await get(mirror.url, `/v2/library/app/manifests/latest`);
  const gate = upstream.holdAfter({ digest: big.digest }, 2_000_000);
  const call = request(mirror.url, { path: `/v2/library/app/blobs/${big.digest}`, keep: false });
  await gate.reached;
  await call.atLeast(2_000_000);
  const layers = blobsOf(image).length;
  const requests = { hit: 1, miss: 1 + layers, joined: 0, stale: 0, passthrough: 0, error: 0 };
  await expect // a request is counted when its connection has closed
    .poll(async () => (await runForJson(mirror.file, 'stats'))['daemon'])
    .toMatchObject({ requests });
  const stats = await runForJson(mirror.file, 'stats');
  expect(stats).toMatchObject({
    version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    store: {
      path: mirror.storePath,
      blobs: layers,
      limitBytes: 64 * 1024 ** 2,
      limitReason: 'max_size',
      freeBytes: expect.any(Number),
      pinnedBytes: 0,
      scanned: true,
    },
    daemon: {
      pid: mirror.process.pid,
      lru: { backend: 'embedded', up: true },
      upstreams: [{ upstream: 'docker.io', up: true, breakerOpen: false, pausedUntil: null, rateLimit: 100 }],
      downloads: [
        {
          digest: big.digest,
          upstream: 'docker.io',
          repository: `${hub}/app`,
          sizeBytes: 3_000_000,
          followers: 1,
          bytesPerSecond: expect.any(Number),
        },
      ],
      requests,
      hitRatio: { requests: Math.round(1000 / (2 + layers)) / 1000 },
      evictions: { blobs: 0, bytes: 0 },
    },
  });
  const text = (await runCistern(mirror.file, 'stats')).stdout;
  expect(text).toContain(`daemon     process ${mirror.process.pid}, running for `);
  expect(text).toContain(`1 hit, ${1 + layers} miss, 0 joined`);
  expect(text).toMatch(
    new RegExp(`${big.digest.slice(0, 19)} +${hub}/app +1\\.9 MiB +2\\.9 MiB +1 +\\S+ [KM]?i?B/s`),
  );
  gate.release();
  expect((await call.done).sha256).toBe(big.digest);
  await expect.poll(() => isOnDisk(mirror.storePath, big.digest)).toBe(true);

  await mirror.process.stop();
  expect(await runForJson(mirror.file, 'stats')).toMatchObject({
    store: {
      blobs: layers + 1,
      bytes: bytesOf(image) + 3_000_000 + (await recordBytes(mirror.storePath)),
      partialBytes: 0,
      limitBytes: 64 * 1024 ** 2,
    },
    daemon: null,
  });
  expect((await runCistern(mirror.file, 'stats')).stdout).toContain(
    'not running, figures of the store alone',
  );
});

test('refresh: same, moved, gone, not checked; and never without a daemon', async () => {
  const upstream = await startFakeUpstream();
  const [before, after] = [buildImage({ layers: ['before'] }), buildImage({ layers: ['after'] })];
  upstream.put('library/app', before, 'latest');
  const mirror = await spawnTestMirror({
    upstream,
    hub: { timeouts: { first_byte: '2s', connect: '500ms' } },
    config: { tags: { ttl: '1d', check_timeout: '30s' } },
  });
  await pull(mirror, 'library/app', before);
  const one = async () => (await runForJson(mirror.file, 'refresh', 'app'))['images'];
  const image = `${hub}/app:latest`;
  const asked = upstream.lines().length;
  expect(await one()).toEqual([
    { image, result: 'same', from: before.digest, to: before.digest, reason: null },
  ]);
  expect(upstream.lines()).toHaveLength(asked + 1);
  upstream.move('library/app', 'latest', after);
  expect(await runCistern(mirror.file, 'refresh', 'app')).toEqual({
    code: 0,
    stdout: `${image}: moved from ${before.digest} to ${after.digest}\n`,
    stderr: '',
  });
  expect((await get(mirror.url, '/v2/library/app/manifests/latest')).sha256).toBe(after.digest);
  upstream.untag('library/app', 'latest');
  expect(await one()).toEqual([
    { image, result: 'gone', from: after.digest, to: after.digest, reason: 'the upstream no longer has it' },
  ]);
  await upstream.refuse();
  const away = await runCistern(mirror.file, 'refresh', 'app', 'other');
  expect(away).toEqual({
    code: 1,
    stdout: expect.stringContaining(`${image}: not checked, `),
    stderr: `error: ${hub}/other:latest is not held\n`,
  });
  await mirror.process.stop();
  expect(await runCistern(mirror.file, 'refresh', 'app')).toEqual({
    code: 1,
    stdout: '',
    stderr: 'error: a refresh needs a running daemon, and none runs\n',
  });
});

test('a reader that has had enough ends nothing with an error', async () => {
  const upstream = await startFakeUpstream();
  upstream.put('library/app', buildImage(), 'latest');
  const mirror = await spawnTestMirror({ upstream });
  await get(mirror.url, '/v2/library/app/manifests/latest');
  const script = `"${process.execPath}" dist/main.js ls --config "${mirror.file}" | true; echo "\${PIPESTATUS[0]}"`;
  expect(execFileSync('bash', ['-c', `${script} 2>&1`]).toString()).toBe('0\n');
});
