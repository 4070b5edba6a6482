/** `kill -9` at any moment of a download: after the restart the right digest, only what is missing fetched, no litter. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { get, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { spawnTestMirror, startTestMirror } from '../support/mirror.ts';
import { blobLine } from '../support/request-log.ts';
import { filesUnder } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const size = 60_000_000;
const blob = patternBlob('crash', size);
const path = `/v2/library/big/blobs/${blob.digest}`;
/** What the journal may lag behind a transfer that pauses: less than a MiB that is gathered, and less than one that is written. */
const lagBytes = 2 * 1024 * 1024;

async function start() {
  const upstream = await startFakeUpstream();
  upstream.putBlob('library/big', blob.digest, blob);
  return { upstream, mirror: await spawnTestMirror({ upstream }) };
}

/** Every file is a blob, a record, a partial with its journal, or one of the store's own four. */
async function expectTidy(storePath: string): Promise<void> {
  const files = await filesUnder(storePath);
  const odd = files.filter(file => {
    if (['layout', 'id', 'owner.sock', 'scrub'].includes(file)) return false;
    if (/^blobs-v1\/sha(256|512)\/[0-9a-f]{2}\/[0-9a-f]+$/.test(file)) return false;
    if (/^records-v1\/.*\/_record$/.test(file)) return false;
    if (/^ingest-v1\/.*\.part$/.test(file)) return !files.includes(file.replace(/part$/, 'json'));
    if (/^ingest-v1\/.*\.json$/.test(file)) return !files.includes(file.replace(/json$/, 'part'));
    return true;
  });
  expect(odd).toEqual([]);
}

/** Until the journal says that so many bytes are written, the only ones that a restart believes. It is written beside the transfer. */
async function untilJournaled(storePath: string, bytes: number): Promise<void> {
  const file = join(storePath, 'ingest-v1', `${blob.digest.replace(':', '-')}.json`);
  const written = async (): Promise<number> => {
    const text = await readFile(file, 'utf8').catch(() => '{}');
    const { written: spans = [] } = JSON.parse(text) as { written?: readonly (readonly [number, number])[] };
    return spans.reduce((sum, [from, to]) => sum + to - from, 0);
  };
  await expect.poll(written).toBeGreaterThanOrEqual(bytes);
}

/** Restarts on the same store, pulls, and says what the upstream was asked. */
async function pullAgain(
  upstream: Awaited<ReturnType<typeof startFakeUpstream>>,
  storePath: string,
): Promise<string[]> {
  upstream.log.clear();
  const mirror = await startTestMirror({ upstream, storePath });
  expect(await get(mirror.url, path, { keep: false })).toMatchObject({
    status: 200,
    sha256: blob.digest,
    end: 'complete',
  });
  await mirror.settled();
  await expect.poll(async () => (await filesUnder(join(storePath, 'ingest-v1'))).length).toBe(0);
  await expectTidy(storePath);
  return upstream.lines();
}

test('before the first byte', async () => {
  const { upstream, mirror } = await start();
  const gate = upstream.holdHeaders({ digest: blob.digest });
  const call = request(mirror.url, { path, keep: false });
  await gate.reached;
  await mirror.process.stop('SIGKILL');
  await call.done;
  expect(await pullAgain(upstream, mirror.storePath)).toEqual([blobLine(blob.digest)]);
});

test('in the middle: only the missing rest is fetched', async () => {
  const { upstream, mirror } = await start();
  const gate = upstream.holdAfter({ digest: blob.digest }, size / 2);
  const call = request(mirror.url, { path, keep: false });
  await gate.reached;
  await call.atLeast(size / 2 - lagBytes);
  await untilJournaled(mirror.storePath, size / 2 - lagBytes);
  await mirror.process.stop('SIGKILL');
  await call.done;
  const lines = await pullAgain(upstream, mirror.storePath);
  expect(lines).toHaveLength(1);
  const from = Number(/bytes=(\d+)-$/.exec(lines[0] ?? '')?.[1]);
  expect(from).toBeGreaterThanOrEqual(size / 2 - lagBytes);
  expect(from).toBeLessThanOrEqual(size / 2);
  expect(upstream.contentBytes('blob')).toBe(size - from);
});

test('in the middle of a far range: what came of it is not fetched again', async () => {
  const { upstream, mirror } = await start();
  const gate = upstream.holdAfter({ digest: blob.digest }, 10_000_000);
  const range = { Range: 'bytes=30000000-49999999' };
  const call = request(mirror.url, { path, headers: range, keep: false });
  await gate.reached;
  await call.atLeast(10_000_000 - lagBytes);
  await untilJournaled(mirror.storePath, 10_000_000 - lagBytes);
  await mirror.process.stop('SIGKILL');
  await call.done;
  const lines = await pullAgain(upstream, mirror.storePath);
  const from = Number(/bytes=(\d+)-$/.exec(lines[1] ?? '')?.[1]);
  expect(lines).toEqual([blobLine(blob.digest, 'bytes=0-29999999'), blobLine(blob.digest, `bytes=${from}-`)]);
  expect(from).toBeGreaterThanOrEqual(40_000_000 - lagBytes);
  expect(from).toBeLessThanOrEqual(40_000_000);
  expect(upstream.contentBytes('blob')).toBe(30_000_000 + size - from);
});

test('after the last byte, before the rename: the upstream is not asked', async () => {
  const { upstream, mirror } = await start();
  await get(mirror.url, path, { keep: false });
  await expect.poll(() => mirror.metric('cistern_store_blobs'), { timeout: 30_000 }).toBe(1); // the commit follows the last byte
  await mirror.process.stop('SIGKILL');
  // The state between the last byte and the rename, made by hand: the whole partial under its journal.
  const { rename, writeFile, mkdir } = await import('node:fs/promises');
  const name = blob.digest.replace(':', '-');
  const hex = blob.digest.slice(7);
  const ingest = join(mirror.storePath, 'ingest-v1');
  await mkdir(ingest, { recursive: true });
  await rename(
    join(mirror.storePath, 'blobs-v1', 'sha256', hex.slice(0, 2), hex),
    join(ingest, `${name}.part`),
  );
  const state = {
    version: 1,
    bootId: '',
    digest: blob.digest,
    size,
    source: 'x',
    written: [[0, size]],
    synced: [[0, size]],
  };
  await writeFile(join(ingest, `${name}.json`), JSON.stringify(state));
  expect(await pullAgain(upstream, mirror.storePath)).toEqual([]);
});

test('during the re-hash of a partial: the next start finds the same partial', async () => {
  const { upstream, mirror } = await start();
  const gate = upstream.holdAfter({ digest: blob.digest }, size - 1000);
  const call = request(mirror.url, { path, keep: false });
  await gate.reached;
  await call.atLeast(size - lagBytes);
  await untilJournaled(mirror.storePath, size - lagBytes);
  await mirror.process.stop('SIGKILL');
  await call.done;
  gate.release();

  const second = await spawnTestMirror({ upstream, storePath: mirror.storePath });
  const hold = upstream.holdHeaders({ digest: blob.digest });
  const again = request(second.url, { path, keep: false });
  await hold.reached; // it re-hashes while the upstream is being asked
  await second.process.stop('SIGKILL');
  await again.done;
  hold.release();
  const lines = await pullAgain(upstream, mirror.storePath);
  expect(lines).toHaveLength(1);
  expect(Number(/bytes=(\d+)-$/.exec(lines[0] ?? '')?.[1])).toBeGreaterThanOrEqual(size - 2 * lagBytes);
});

test('a partial whose bytes were damaged meanwhile is noticed, and the next ask is healed', async () => {
  const { upstream, mirror } = await start();
  const gate = upstream.holdAfter({ digest: blob.digest }, size / 2);
  const call = request(mirror.url, { path, keep: false });
  await gate.reached;
  await untilJournaled(mirror.storePath, size / 2 - lagBytes); // what no journal vouches for would not be read
  await mirror.process.stop('SIGKILL');
  await call.done;
  const part = join(mirror.storePath, 'ingest-v1', `${blob.digest.replace(':', '-')}.part`);
  const bytes = await readFile(part);
  expect((await stat(part)).size).toBeGreaterThan(1000);
  bytes[500] = (bytes[500] ?? 0) ^ 1;
  const { writeFile } = await import('node:fs/promises');
  await writeFile(part, bytes);
  const again = await startTestMirror({ upstream, storePath: mirror.storePath });
  const first = await get(again.url, path, { keep: false });
  expect(first.sha256).not.toBe(blob.digest);
  expect(first.end).toBe('fin-early');
  expect(await get(again.url, path, { keep: false })).toMatchObject({ sha256: blob.digest, end: 'complete' });
});

test('a second daemon on the same store refuses and names the first one', async () => {
  const { upstream, mirror } = await start();
  await expect(startTestMirror({ upstream, storePath: mirror.storePath })).rejects.toThrow(
    String(mirror.process.pid),
  );
});

test('after kill -9 the store opens again at once', async () => {
  const { upstream, mirror } = await start();
  await mirror.process.stop('SIGKILL');
  const again = await startTestMirror({ upstream, storePath: mirror.storePath });
  expect((await get(again.url, '/readyz')).status).toBe(200);
});
