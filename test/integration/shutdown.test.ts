/** SIGTERM: what runs may finish within `drain`, what doesn't is kept as a partial, and the process ends. */
import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { get, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { spawnTestMirror } from '../support/mirror.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const size = 20_000_000;
const blob = patternBlob('shutdown', size);
const path = `/v2/library/big/blobs/${blob.digest}`;

async function start(drain: string) {
  const upstream = await startFakeUpstream();
  upstream.putBlob('library/big', blob.digest, blob);
  return { upstream, mirror: await spawnTestMirror({ upstream, config: { http: { drain } } }) };
}

test('a running transfer is finished for its client, then the process ends with 0', async () => {
  const { upstream, mirror } = await start('20s');
  const gate = upstream.holdAfter({ digest: blob.digest }, size / 2);
  const call = request(mirror.url, { path, keep: false });
  await call.atLeast(1000);
  mirror.process.signal('SIGTERM');
  await mirror.process.waitForMessage('draining');
  // A connection may still be taken from the kernel's backlog, and closed; it is never served.
  const late = await get(mirror.url, '/readyz').catch(() => undefined);
  expect([0, 503]).toContain(late?.status ?? 0);
  gate.release();
  expect(await call.done).toMatchObject({ status: 200, sha256: blob.digest, end: 'complete' });
  expect(await mirror.process.exited).toEqual({ code: 0, signal: null });
});

test('a transfer that is not done within drain is cut, its partial is kept and continued after the next start', async () => {
  const { upstream, mirror } = await start('300ms');
  upstream.holdAfter({ digest: blob.digest }, size / 2);
  const call = request(mirror.url, { path, keep: false });
  await call.atLeast(1_100_000);
  mirror.process.signal('SIGTERM');
  expect(await mirror.process.exited).toEqual({ code: 0, signal: null });
  expect((await call.done).end).not.toBe('complete');
  upstream.log.clear();
  const again = await spawnTestMirror({ upstream, storePath: mirror.storePath });
  expect(await get(again.url, path, { keep: false })).toMatchObject({ sha256: blob.digest, end: 'complete' });
  expect(upstream.lines()).toEqual([expect.stringMatching(/bytes=\d+-$/)]);
});

test('a second signal ends it at once', async () => {
  const { upstream, mirror } = await start('60s');
  upstream.holdAfter({ digest: blob.digest }, size / 2);
  const call = request(mirror.url, { path, keep: false });
  await call.atLeast(1000);
  mirror.process.signal('SIGTERM');
  await mirror.process.waitForMessage('draining');
  await setTimeout(700); // two signals at once are one Ctrl-C that came twice
  mirror.process.signal('SIGTERM');
  expect((await mirror.process.exited).code).toBe(1);
});
