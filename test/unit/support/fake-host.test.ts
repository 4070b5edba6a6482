import { expect, test } from 'vitest';
import { get, request } from '../../support/client.ts';
import { patternBlob } from '../../support/content.ts';
import { buildImage } from '../../support/images.ts';
import { startFakeUpstream } from '../../support/upstream.ts';

const name = 'library/alpine';
const big = patternBlob('big', 20_000_000);
const blobPath = `/v2/${name}/blobs/${big.digest}`;

async function start() {
  const upstream = await startFakeUpstream({ redirect: true });
  upstream.put(name, buildImage(), '1');
  upstream.put('plain/big', buildImage({ layers: [big] }), '1');
  return upstream;
}

test('a refusing upstream refuses on all its ports, and comes back on the same ones', async () => {
  const upstream = await start();
  const ports = [upstream.port, upstream.host('storage').port];
  await upstream.refuse();
  for (const port of ports)
    await expect(get(`http://127.0.0.1:${port}`, '/v2/')).rejects.toThrow('ECONNREFUSED');
  await upstream.accept();
  expect([upstream.port, upstream.host('storage').port]).toEqual(ports);
  expect(await get(upstream.url, '/v2/')).toMatchObject({ status: 200 });
  await upstream.refuse();
  await upstream.accept();
  expect(await get(upstream.url, '/v2/')).toMatchObject({ status: 200 });
});

test('refusing ends running bodies, unless connections are kept', async () => {
  const upstream = await startFakeUpstream();
  upstream.putBlob(name, big.digest, big);
  for (const keepConnections of [false, true]) {
    const gate = upstream.holdAfter({ digest: big.digest }, 1000);
    const call = request(upstream.url, { path: blobPath, keep: false });
    await gate.reached;
    await call.atLeast(1000);
    await upstream.refuse({ keepConnections });
    gate.release();
    const { bytes, end } = await call.done;
    if (keepConnections) expect([bytes, end]).toEqual([big.size, 'complete']);
    else expect([bytes, end]).toEqual([1000, expect.not.stringContaining('complete')]);
    await upstream.accept();
  }
});

test('a frozen upstream accepts and answers nothing until it is thawed', async () => {
  const upstream = await start();
  upstream.freeze();
  const call = request(upstream.url, { path: '/v2/' });
  await upstream.log.until(entries => entries.length === 1);
  expect(upstream.lines({ status: true })).toEqual(['0 GET /v2/']);
  upstream.thaw();
  expect(await call.done).toMatchObject({ status: 200 });
});

test('a freeze stops a body in the middle', async () => {
  const upstream = await startFakeUpstream();
  upstream.putBlob(name, big.digest, big);
  const gate = upstream.holdAfter({ digest: big.digest }, 1000);
  const call = request(upstream.url, { path: blobPath, keep: false });
  await gate.reached;
  upstream.freeze();
  gate.release();
  await call.atLeast(1000);
  // Another request goes through the frozen host's event loop, so the body had its chance to go on.
  const other = request(upstream.url, { path: '/v2/' });
  await upstream.log.until(entries => entries.length === 2);
  expect([call.bytes, upstream.contentBytes('blob')]).toEqual([1000, 1000]);
  upstream.thaw();
  expect(await call.done).toMatchObject({ sha256: big.digest, end: 'complete' });
  expect(await other.done).toMatchObject({ status: 200 });
});

test('closing ends held, stalled and frozen requests', async () => {
  const upstream = await start();
  upstream.putBlob('held/app', big.digest, big);
  upstream.holdHeaders({ kind: 'manifest' });
  const held = request(upstream.url, { path: `/v2/${name}/manifests/1` });
  await upstream.log.until(entries => entries.length === 1);
  upstream.freeze();
  const frozen = request(upstream.url, { path: '/v2/' });
  await upstream.log.until(entries => entries.length === 2);
  await upstream.close();
  expect([await held.done, await frozen.done].map(({ end }) => end)).not.toContain('complete');
});

test('a client that does not read takes no more from the upstream than socket buffers hold', async () => {
  const upstream = await startFakeUpstream();
  const huge = patternBlob('huge', 100_000_000);
  upstream.putBlob(name, huge.digest, huge);
  const call = request(upstream.url, { path: `/v2/${name}/blobs/${huge.digest}`, paused: true, keep: false });
  await upstream.log.until(([entry]) => (entry?.bodyBytesSent ?? 0) > 0);
  await get(upstream.url, '/v2/');
  expect(upstream.contentBytes('blob')).toBeLessThan(huge.size);
  call.abort();
  await call.done;
});
