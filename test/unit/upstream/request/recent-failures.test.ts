/** The memory of what failed a moment ago. */
import { expect, test } from 'vitest';
import { parseTag } from '../../../../src/oci/name.ts';
import { UpstreamError } from '../../../../src/registry/upstream-error.ts';
import { RecentFailures } from '../../../../src/upstream/request/recent-failures.ts';
import { alpine, connect, failureOf, latest, read, sendJson, serve } from '../rig.ts';

test('a failed request is not sent again for 10 s, by HEAD or GET', async () => {
  const server = await serve((_request, response) => sendJson(response, {}, 500));
  const { registry, clock } = connect(server.url);
  await failureOf(registry.resolve(alpine, latest, read));
  expect(await failureOf(registry.manifest(alpine, latest, read))).toMatchObject({
    failure: 'status',
    upstreamStatus: 500,
  });
  expect(server.seen).toHaveLength(1);
  await failureOf(registry.resolve(alpine, parseTag('other'), read));
  expect(server.seen).toHaveLength(2);
  clock.advance(9999);
  await failureOf(registry.manifest(alpine, latest, read));
  expect(server.seen).toHaveLength(2);
  clock.advance(1);
  await failureOf(registry.manifest(alpine, latest, read));
  expect(server.seen).toHaveLength(3);
});

test('404 is not remembered here, and neither is a caller who left', async () => {
  const server = await serve((_request, response, count) => {
    if (count === 2) return;
    sendJson(response, {}, 404);
  });
  const { registry } = connect(server.url);
  for (let at = 0; at < 2; at += 1) {
    expect(await failureOf(registry.resolve(alpine, latest, read))).toMatchObject({
      failure: 'gone',
      code: 'MANIFEST_UNKNOWN',
    });
  }
  const leaving = new AbortController();
  const left = registry.resolve(alpine, latest, { signal: leaving.signal });
  await server.until(3);
  leaving.abort(new UpstreamError({ upstream: 'up', kind: 'manifest', failure: 'timeout', message: 'left' }));
  await expect(left).rejects.toThrow('left');
  expect(await failureOf(registry.resolve(alpine, latest, read))).toMatchObject({ failure: 'gone' });
  expect(server.seen).toHaveLength(4);
});

test('the memory is bounded, and connection failures leave it when the host is back', () => {
  const failures = new RecentFailures(() => 0);
  const fail = (failure: 'unreachable' | 'timeout'): UpstreamError =>
    new UpstreamError({ upstream: 'up', kind: 'manifest', failure, message: failure });
  for (let at = 0; at <= 4096; at += 1)
    failures.remember(`${at}`, fail(at % 2 === 0 ? 'unreachable' : 'timeout'));
  expect([failures.recall('0'), failures.recall('1')?.failure, failures.recall('2')?.failure]).toEqual([
    undefined,
    'timeout',
    'unreachable',
  ]);
  failures.forgetUnreachable();
  expect([failures.recall('1')?.failure, failures.recall('2')]).toEqual(['timeout', undefined]);
});
