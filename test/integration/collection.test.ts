/** Collection of the private registry over HTTP and by its command, the read-only switch, and pushes, deletes and pulls against collections. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { GcReport } from '../../src/admin/gc-report.ts';
import { ociManifest } from '../../src/oci/media-type.ts';
import { runCistern } from '../support/cistern-command.ts';
import { get } from '../support/client.ts';
import {
  askForGc,
  digestsOf,
  heldIn,
  hostedConfig,
  pushImage,
  soakCollection,
} from '../support/collection-soak.ts';
import { bytesBlob, patternBlob } from '../support/content.ts';
import { type BuiltImage, buildImage, buildIndex } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { open, pushBlob, send } from '../support/upload-client.ts';

const soakSeconds = Number(process.env['GC_SOAK_SECONDS'] ?? 10);
const seed = Number(process.env['GC_SEED'] ?? 1);
const hour = 3_600_000;
/** A daemon whose clock the test moves. */
async function startRegistry(hosted: Readonly<Record<string, unknown>> = {}) {
  const clock = { aheadMs: 0 };
  const mirror = await startTestMirror({
    config: hostedConfig(hosted),
    now: () => Date.now() + clock.aheadMs,
  });
  return { mirror, clock };
}

function expectHeld(held: ReadonlySet<string>, ...images: readonly BuiltImage[]): void {
  expect([...held].sort()).toEqual([...new Set(digestsOf(...images))].sort());
}

test('gc says what goes, why and how many bytes, changes nothing with --dry-run, and leaves what others need', async () => {
  const { mirror, clock } = await startRegistry();
  const shared = patternBlob('shared', 200_000);
  const one = buildImage({ layers: [shared, patternBlob('one', 300_000)] });
  const two = buildImage({ layers: [shared, 'two'] });
  expect(await pushImage(mirror, 'team/app', one, 'v1')).toBe(201);
  expect(await pushImage(mirror, 'team/app', two, 'v2')).toBe(201);
  expect(await pushBlob(mirror.url, 'team/other', patternBlob('unused', 1000))).toBe(201);
  expect((await send(mirror.url, 'DELETE', '/v2/team/app/manifests/v1')).status).toBe(202);

  clock.aheadMs = 23 * hour;
  expect((await askForGc(mirror)).repositories).toEqual([]);
  clock.aheadMs = 25 * hour;
  const dry = await runCistern(mirror.file, 'gc', '--dry-run', '--json');
  const report: GcReport = JSON.parse(dry.stdout);
  const [config] = one.blobs;
  const bytes = 300_000 + one.bytes.length + (config?.descriptor.size ?? 0);
  expect(report).toMatchObject({
    dryRun: true,
    skipped: [],
    blobs: 4,
    freedBytes: bytes + 1000,
    repositories: [
      { repository: 'team/app', manifests: 1, links: 2, bytes },
      { repository: 'team/other', manifests: 0, links: 1, bytes: 1000 },
    ],
  });
  expect(report.repositories[0]?.removed[0]).toEqual({
    kind: 'manifest',
    name: one.digest,
    bytes: one.bytes.length,
    why: 'deleted',
  });
  expect(await mirror.metric('cistern_gc_last_seconds')).toBeGreaterThan(0); // of the first one
  expect((await heldIn(mirror)).has(one.digest)).toBe(true);

  const done = await runCistern(mirror.file, 'gc');
  expect(done).toMatchObject({ code: 0, stdout: expect.stringContaining('4 files removed') });
  expectHeld(await heldIn(mirror), two);
  expect(await mirror.metric('cistern_gc_removed_total{kind="manifest"}')).toBe(1);
  expect(await mirror.metric('cistern_gc_removed_total{kind="link"}')).toBe(3);
  expect(await mirror.metric('cistern_gc_removed_total{kind="blob"}')).toBe(4);
  expect(await mirror.metric('cistern_gc_freed_bytes_total')).toBe(bytes + 1000);
  const left = two.bytes.length + two.blobs.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
  expect(await mirror.metric('cistern_hosted_bytes')).toBe(left);
  expect(await mirror.metric('cistern_hosted_repositories')).toBe(1);
  expect((await get(mirror.url, `/v2/team/app/blobs/${shared.digest}`)).status).toBe(200);
});

test('an index keeps its images, a BuildKit cache index its layers, and an overwritten tag what was pulled lately', async () => {
  const { mirror, clock } = await startRegistry();
  const index = buildIndex();
  const cache = buildImage({ layers: ['cached layer'] });
  const layers = cache.blobs.map(({ descriptor }) => descriptor);
  // As BuildKit 0.34 writes it: layers, and last its own config.
  const entries = layers.map(({ mediaType, digest, size }) =>
    digest === cache.config?.descriptor.digest
      ? { mediaType: 'application/vnd.buildkit.cacheconfig.v0', digest, size }
      : {
          mediaType,
          digest,
          size,
          annotations: {
            'buildkit/createdat': '2026-11-27T14:13:58.91402423Z',
            'containerd.io/uncompressed': digest,
          },
        },
  );
  const cacheIndex = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: index.mediaType, manifests: entries.toReversed() }),
  );
  const [old, stale, next] = ['old', 'stale', 'next'].map(layer => buildImage({ layers: [layer] }));
  if (old === undefined || stale === undefined || next === undefined) throw new Error('expected images');
  expect(await pushImage(mirror, 'team/app', index, 'multi')).toBe(201);
  for (const { content } of cache.blobs) await pushBlob(mirror.url, 'team/app', content);
  const put = { headers: { 'Content-Type': index.mediaType }, body: cacheIndex };
  expect((await send(mirror.url, 'PUT', '/v2/team/app/manifests/cache', put)).status).toBe(201);
  for (const image of [stale, old, next])
    expect(await pushImage(mirror, 'team/app', image, 'latest')).toBe(201);

  clock.aheadMs = 20 * 24 * hour;
  expect((await get(mirror.url, `/v2/team/app/manifests/${old.digest}`)).status).toBe(200);
  clock.aheadMs = 40 * 24 * hour;
  const { repositories } = await askForGc(mirror);
  expect(repositories[0]?.removed.find(({ kind }) => kind === 'manifest')).toMatchObject({
    name: stale.digest,
    why: 'untagged',
  });
  const held = await heldIn(mirror);
  for (const digest of [...digestsOf(index, old, next), ...layers.map(layer => layer.digest)])
    expect(held.has(digest)).toBe(true);
  expect(held.has(stale.digest)).toBe(false);
});

test('read-only: pushes and deletes get 503 with the message, pulls go on, until the command turns it off', async () => {
  const { mirror } = await startRegistry();
  const image = buildImage();
  expect(await pushImage(mirror, 'team/app', image, 'v1')).toBe(201);
  const turnedOn = await runCistern(mirror.file, 'read-only', 'on', '--message', 'moving, back at six');
  expect(turnedOn).toMatchObject({ code: 0, stdout: expect.stringContaining('moving, back at six') });
  for (const [method, path] of [
    ['POST', '/v2/team/app/blobs/uploads/'],
    ['PUT', '/v2/team/app/manifests/v2'],
    ['DELETE', '/v2/team/app/manifests/v1'],
    ['DELETE', `/v2/team/app/blobs/${image.blobs[0]?.descriptor.digest}`],
  ] as const) {
    const headers = { 'Content-Type': image.mediaType };
    const body = method === 'PUT' ? { body: image.bytes } : {};
    const answer = await send(mirror.url, method, path, { headers, ...body });
    expect([answer.status, answer.body.toString()]).toEqual([
      503,
      expect.stringContaining('moving, back at six'),
    ]);
  }
  expect((await get(mirror.url, '/v2/team/app/manifests/v1')).status).toBe(200);
  expect((await runCistern(mirror.file, 'read-only')).stdout).toContain('on');
  expect((await runCistern(mirror.file, 'read-only', 'off')).code).toBe(0);
  expect((await send(mirror.url, 'DELETE', '/v2/team/app/manifests/v1')).status).toBe(202);
});

test('a manifest that is refused whatever it says is refused before its body, waiting for 100 Continue or not', async () => {
  const onlyRead = { repositories: ['team/read'], users: ['anonymous'], actions: ['pull'] };
  const mirror = await startTestMirror({
    config: {
      ...hostedConfig({ read_only: true }),
      access: { rules: [onlyRead, { ...onlyRead, repositories: ['**'], actions: ['pull', 'push'] }] },
    },
  });
  const cases = [
    ['team/app', 503, 'UNAVAILABLE'],
    ['team/read', 403, 'DENIED'],
    ['library/alpine', 403, 'DENIED'],
  ] as const;
  for (const waits of [{ Expect: '100-continue' }, {}])
    for (const [name, status, code] of cases) {
      const headers = { 'Content-Type': ociManifest, 'Content-Length': '4000000', ...waits };
      const put = open(mirror.url, 'PUT', `/v2/${name}/manifests/v1`, headers);
      const answer = await put.done; // nothing of the body was sent
      expect([answer.status, answer.body]).toEqual([status, expect.stringContaining(code)]);
      expect(put.interim).toEqual([]);
    }
});

test('while one log is damaged nothing is collected in any repository, and gc says what to run; afterwards it goes', async () => {
  const { mirror } = await startRegistry({ gc_grace: 0 });
  const loose = patternBlob('loose', 1000);
  expect(await pushBlob(mirror.url, 'team/fine', loose)).toBe(201);
  expect(await pushImage(mirror, 'team/app', buildImage(), 'v1')).toBe(201);
  await mirror.close();
  const path = join(mirror.storePath, 'hosted-v1/team/app/_repository');
  await writeFile(path, (await readFile(path, 'utf8')).replace('"how":"push"', '"how":"puzh"'));

  const config = hostedConfig({ gc_grace: 0 });
  const again = await startTestMirror({ storePath: mirror.storePath, config });
  await again.settled();
  const refused = await runCistern(again.file, 'gc');
  expect(refused).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('cistern repair team/app'),
  });
  expect((await heldIn(again)).has(loose.digest)).toBe(true);
  await runCistern(again.file, 'repair');
  expect((await askForGc(again)).freedBytes).toBe(1000);
  expect((await heldIn(again)).has(loose.digest)).toBe(false);
});

test('hosted.read_only refuses from the start, and gc of a mirror that hosts nothing says so', async () => {
  const closed = await startRegistry({ read_only: 'this registry has moved' });
  const refused = await send(closed.mirror.url, 'POST', '/v2/team/app/blobs/uploads/');
  expect([refused.status, refused.body.toString()]).toEqual([503, expect.stringContaining('has moved')]);
  const plain = await startTestMirror();
  const answer = await runCistern(plain.file, 'gc');
  expect(answer).toMatchObject({ code: 1, stderr: expect.stringContaining('hosted.repositories') });
});

test(
  `pushes, deletes, evictions and collections for ${soakSeconds} s: no manifest lacks a blob, and nothing is left over (seed ${seed})`,
  () => soakCollection(soakSeconds, seed),
  (soakSeconds + 60) * 1000,
);

test('what is pushed while a collection runs and is not needed any more does not survive the next one', async () => {
  const { mirror, clock } = await startRegistry();
  const blob = bytesBlob('loose');
  expect(await pushBlob(mirror.url, 'team/app', blob)).toBe(201);
  await Promise.all([askForGc(mirror), pushBlob(mirror.url, 'team/app', blob), askForGc(mirror)]);
  expect((await heldIn(mirror)).has(blob.digest)).toBe(true);
  clock.aheadMs = 25 * hour;
  await askForGc(mirror);
  expect(await heldIn(mirror)).toEqual(new Set());
});
