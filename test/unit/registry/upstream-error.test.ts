/** What a client is told when the upstream did not give it (docs/behaviour.md, "nothing held, upstream says"). */
import { expect, test } from 'vitest';
import { RegistryError } from '../../../src/oci/error.ts';
import { parseRepository } from '../../../src/oci/name.ts';
import { OfflineOrigin } from '../../../src/registry/origin.ts';
import { UpstreamError, type UpstreamFailure } from '../../../src/registry/upstream-error.ts';
import type { Kind } from '../../../src/telemetry/observer.ts';

function errorOf(kind: Kind, failure: UpstreamFailure): UpstreamError {
  return new UpstreamError({ upstream: 'docker.io', kind, failure, message: 'expected this, got that' });
}

const silent = [
  'limited',
  'status',
  'unreachable',
  'timeout',
  'breaker',
  'paused',
  'blocked',
  'mismatch',
  'range',
  'offline',
] as const;

test.each([...silent, 'gone', 'denied'] as const)(
  'a blob is 404 when the upstream is "%s": dockerd retries 5xx for a minute',
  failure => {
    expect(errorOf('blob', failure)).toMatchObject({ code: 'BLOB_UNKNOWN', status: 404 });
  },
);

test.each(silent)('a manifest and a list are 503 when the upstream is "%s"', failure => {
  for (const kind of ['manifest', 'tags', 'referrers'] as const) {
    expect(errorOf(kind, failure)).toMatchObject({ code: 'UNAVAILABLE', status: 503 });
  }
});

test.each<[Kind, string]>([
  ['manifest', 'MANIFEST_UNKNOWN'],
  ['tags', 'NAME_UNKNOWN'],
  ['referrers', 'NAME_UNKNOWN'],
])('a %s that the upstream does not have, or does not give, is %s', (kind, code) => {
  for (const failure of ['gone', 'denied'] as const) {
    expect(errorOf(kind, failure)).toMatchObject({ code, status: 404 });
  }
});

test('the detail says who and why, and the status only when there was one', () => {
  expect(errorOf('manifest', 'denied').detail).toEqual({ upstream: 'docker.io', reason: 'refused' });
  const error = new UpstreamError({
    upstream: 'ghcr.io',
    kind: 'manifest',
    failure: 'limited',
    message: 'expected 200, got 429',
    upstreamStatus: 429,
    retryAfterMs: 5000,
    cause: 'the cause',
  });
  expect(error.detail).toEqual({ upstream: 'ghcr.io', reason: 'limited', status: 429 });
  expect(error).toMatchObject({ upstreamStatus: 429, retryAfterMs: 5000, cause: 'the cause' });
  expect(error.toJSON()).toEqual({
    errors: [{ code: 'UNAVAILABLE', message: 'expected 200, got 429', detail: error.detail }],
  });
  expect(error).toBeInstanceOf(RegistryError);
});

test('never a challenge and never a 429 of its own reaches a client', () => {
  for (const failure of [...silent, 'gone', 'denied'] as const) {
    for (const kind of [
      'manifest',
      'blob',
      'tags',
      'referrers',
      'catalog',
      'token',
      'ping',
      'other',
    ] as const) {
      expect([404, 503]).toContain(errorOf(kind, failure).status);
    }
  }
});

test('an origin that is offline answers every request with that, and dials no one', async () => {
  const origin = new OfflineOrigin('docker.io');
  const offline = { name: 'UpstreamError', failure: 'offline', upstream: 'docker.io' };
  await expect(origin.resolve()).rejects.toMatchObject({ ...offline, code: 'UNAVAILABLE' });
  await expect(origin.manifest()).rejects.toMatchObject({ ...offline, code: 'UNAVAILABLE' });
  await expect(origin.stat()).rejects.toMatchObject({ ...offline, code: 'BLOB_UNKNOWN' });
  await expect(origin.blob()).rejects.toMatchObject({ ...offline, code: 'BLOB_UNKNOWN' });
  await expect(origin.tags()).rejects.toMatchObject({ ...offline, code: 'UNAVAILABLE' });
  await expect(origin.referrers()).rejects.toMatchObject({ ...offline, code: 'UNAVAILABLE' });
  const source = origin.blobSource(parseRepository('library/alpine'));
  expect([source.upstream, source.repository]).toEqual(['docker.io', 'library/alpine']);
  await expect(source.open(0, { signal: new AbortController().signal })).rejects.toMatchObject(offline);
  expect(origin.health()).toMatchObject({ away: true, quotaLow: false });
  expect(origin.health().pausedUntil('manifest')).toBeUndefined();
  await origin.close();
});
