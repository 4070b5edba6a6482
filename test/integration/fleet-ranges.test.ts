/** A blob of which nodes have parts already: what is missing comes once for all of them. */
import { expect, test } from 'vitest';
import { get, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { startFleet } from '../support/fleet.ts';
import { startRedis } from '../support/real/redis.ts';
import { requires } from '../support/requires.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const megabyte = 1_000_000;
const size = 60 * megabyte;
const blob = patternBlob('fleet ranges', size);
const path = `/v2/library/big/blobs/${blob.digest}`;

requires('redis-server')('parts of a blob in a fleet', () => {
  test('each node with a part of its own: the gaps of all are one transfer', async () => {
    const redis = await startRedis();
    const upstream = await startFakeUpstream();
    upstream.putBlob('library/big', blob.digest, blob);
    const nodes = await startFleet({ upstream, redis, count: 2 });
    for (const { url } of nodes) {
      const Range = `bytes=${30 * megabyte}-${40 * megabyte - 1}`;
      const { status, body } = await get(url, path, { headers: { Range } });
      expect([status, body.equals(blob.slice(30 * megabyte, 40 * megabyte))]).toEqual([206, true]);
    }
    const before = upstream.contentBytes('blob');
    const gate = upstream.holdAfter({ digest: blob.digest }, 10 * megabyte);
    const calls = nodes.map(({ url }) => request(url, { path, keep: false }));
    await gate.reached;
    await Promise.all(calls.map(call => call.atLeast(5 * megabyte)));
    gate.release();
    for (const call of calls)
      expect(await call.done).toMatchObject({ status: 200, sha256: blob.digest, end: 'complete' });
    expect(upstream.contentBytes('blob') - before).toBe(size - 10 * megabyte);
  });
});
