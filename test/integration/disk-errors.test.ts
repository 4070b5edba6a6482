/** A disk that fails while a held file is read (EIO, injected into the mirror's system calls): no pull is the worse for it. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { get, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { spawnTestMirror } from '../support/mirror.ts';
import { type SpawnedProcess, spawnProcess } from '../support/process.ts';
import { blobLine, manifestLine } from '../support/request-log.ts';
import { requires } from '../support/requires.ts';
import { filesUnder } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const large = patternBlob('failing large', 32_000_000); // more than the sockets take
const small = patternBlob('failing small', 100_000);
const image = buildImage({ layers: [large, small] });
const pathOf = (digest: string) => `/v2/library/app/blobs/${digest}`;
const manifestPath = '/v2/library/app/manifests/latest';

/** Everything of the image is held, and not in the mirror's memory. */
async function start() {
  const upstream = await startFakeUpstream();
  upstream.put('library/app', image, 'latest');
  const first = await spawnTestMirror({ upstream });
  await get(first.url, manifestPath);
  for (const { descriptor } of image.blobs) await get(first.url, pathOf(descriptor.digest), { keep: false });
  await first.process.stop();
  const mirror = await spawnTestMirror({ upstream, storePath: first.storePath });
  const before = upstream.lines().length;
  return { upstream, mirror, lines: () => upstream.lines().slice(before) };
}

/** From when this resolves until the process that it gives is stopped, every read of that file fails. */
async function failReads(pid: number, storePath: string, digest: string): Promise<SpawnedProcess> {
  const hex = digest.slice('sha256:'.length);
  const file = join(storePath, 'blobs-v1', 'sha256', hex.slice(0, 2), hex);
  const calls = ['-e', 'trace=pread64,read', '-e', 'inject=pread64,read:error=EIO'];
  const strace = spawnProcess('strace', ['-f', '-p', String(pid), '-P', file, ...calls]);
  await strace.waitFor(line => (/attached/.test(line) ? line : undefined));
  return strace;
}

function injected(strace: SpawnedProcess): Promise<string> {
  return strace.waitFor(line => (line.includes('INJECTED') ? line : undefined));
}

requires('strace')('reads that fail', () => {
  test.each([
    ['small', small],
    ['large', large],
  ])('with no byte of a %s blob out: it comes from the upstream in the same request', async (_name, blob) => {
    const { upstream, mirror, lines } = await start();
    const gate = upstream.holdHeaders({ digest: blob.digest }); // until the disk is well again
    const strace = await failReads(mirror.process.pid, mirror.storePath, blob.digest);
    const call = request(mirror.url, { path: pathOf(blob.digest), keep: false });
    await injected(strace);
    await strace.stop();
    gate.release();
    expect(await call.done).toMatchObject({ status: 200, sha256: blob.digest, end: 'complete' });
    expect(await get(mirror.url, pathOf(blob.digest), { keep: false })).toMatchObject({
      sha256: blob.digest,
    });
    expect(lines()).toEqual([blobLine(blob.digest)]);
    const aside = (await filesUnder(mirror.storePath)).filter(file => file.startsWith('quarantine-v1'));
    expect(aside).toHaveLength(1);
  });

  test('with bytes out: the body is cut by FIN, and the next request is whole', async () => {
    const { mirror, lines } = await start();
    const call = request(mirror.url, { path: pathOf(large.digest), keep: false });
    await call.firstByte;
    call.pause();
    const strace = await failReads(mirror.process.pid, mirror.storePath, large.digest);
    call.resume();
    expect(await call.done).toMatchObject({ status: 200, end: 'fin-early' });
    await strace.stop();
    expect(await get(mirror.url, pathOf(large.digest), { keep: false })).toMatchObject({
      sha256: large.digest,
      end: 'complete',
    });
    expect(lines()).toEqual([blobLine(large.digest)]);
  });

  test('of a manifest: it is fetched again', async () => {
    const { upstream, mirror, lines } = await start();
    const gate = upstream.holdHeaders({ kind: 'manifest', method: 'GET' });
    const strace = await failReads(mirror.process.pid, mirror.storePath, image.digest);
    const call = request(mirror.url, { path: manifestPath });
    await injected(strace);
    await strace.stop();
    gate.release();
    expect((await call.done).body).toEqual(image.bytes);
    expect(lines()).toEqual([manifestLine(image.digest)]);
  });

  test('while the upstream is away: 404 for a blob, 503 for a manifest', async () => {
    const { upstream, mirror } = await start();
    await upstream.refuse();
    // The manifest first: a blob's size is looked up in the held manifests, which are in memory from then on.
    const manifestReads = await failReads(mirror.process.pid, mirror.storePath, image.digest);
    expect((await get(mirror.url, manifestPath)).status).toBe(503);
    await manifestReads.stop();
    await failReads(mirror.process.pid, mirror.storePath, large.digest);
    expect((await get(mirror.url, pathOf(large.digest))).status).toBe(404);
  });
});
