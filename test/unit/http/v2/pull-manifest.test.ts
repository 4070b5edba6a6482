import { describe, expect, it } from 'vitest';
import { UpstreamError } from '../../../../src/registry/upstream-error.ts';
import { get, head } from '../../../support/client.ts';
import { type ServedApp, serveApp } from '../../../support/served-app.ts';

const mediaType = 'application/vnd.oci.image.manifest.v1+json';
const bytes = Buffer.from('{"schemaVersion":2}');

async function served(): Promise<ServedApp & { digest: string; path: string }> {
  const app = await serveApp();
  const digest = app.hub.addManifest(bytes, mediaType, '1.36');
  return Object.assign(app, { digest, path: '/v2/library/busybox/manifests/1.36' });
}

describe('ping', () => {
  it.each(['/v2/', '/v2'])('answers GET %s with an empty JSON object and the API version', async path => {
    const { url } = await serveApp();
    const answer = await get(url, path);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('docker-distribution-api-version')).toBe('registry/2.0');
    expect(answer.headers.get('content-type')).toBe('application/json');
    expect(answer.body.toString()).toBe('{}');
  });

  it('answers HEAD without a body', async () => {
    const { url } = await serveApp();
    const answer = await head(url, '/v2/');
    expect([answer.status, answer.bytes, answer.surplusBytes]).toEqual([200, 0, 0]);
  });
});

describe('manifest', () => {
  it('goes out byte for byte with type, digest, length and tag', async () => {
    const { url, path, digest } = await served();
    const answer = await get(url, path);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual(bytes);
    expect(answer.headers.get('content-type')).toBe(mediaType);
    expect(answer.headers.get('docker-content-digest')).toBe(digest);
    expect(answer.headers.get('content-length')).toBe(String(bytes.length));
    expect(answer.headers.get('etag')).toBe(`"${digest}"`);
    expect(answer.headers.get('docker-distribution-api-version')).toBe('registry/2.0');
    expect(answer.headers.has('warning')).toBe(false);
    expect(answer.headers.has('content-encoding')).toBe(false);
  });

  it('answers HEAD by resolve alone, with the headers of GET and no body', async () => {
    const { url, path, digest, hub } = await served();
    const answer = await head(url, path);
    expect(answer.status).toBe(200);
    expect(answer.bytes + answer.surplusBytes).toBe(0);
    expect(answer.headers.get('content-type')).toBe(mediaType);
    expect(answer.headers.get('content-length')).toBe(String(bytes.length));
    expect(answer.headers.get('docker-content-digest')).toBe(digest);
    expect(answer.headers.get('etag')).toBe(`"${digest}"`);
    expect(hub.asked.map(one => one.method)).toEqual(['resolve']);
  });

  it.each(['GET', 'HEAD'])('answers %s with 304 when the client has it', async method => {
    const { url, path, digest } = await served();
    for (const tag of [`"${digest}"`, `W/"${digest}"`, '*', `"other", "${digest}"`]) {
      const answer = await get(url, path, { method, headers: { 'If-None-Match': tag } });
      expect([tag, answer.status, answer.bytes]).toEqual([tag, 304, 0]);
      expect(answer.headers.get('etag')).toBe(`"${digest}"`);
      expect(answer.headers.has('content-type')).toBe(false);
    }
    const other = await get(url, path, { method, headers: { 'If-None-Match': '"other"' } });
    expect(other.status).toBe(200);
  });

  it('forces a check when the client sends no-cache, and only then', async () => {
    const { url, path, hub } = await served();
    for (const value of [undefined, 'no-cache', 'max-age=0', 'no-transform, No-Cache', 'max-age=60']) {
      await get(url, path, { headers: { 'Cache-Control': value } });
    }
    expect(hub.asked.map(one => one.options.mustCheck ?? false)).toEqual([false, true, true, true, false]);
  });

  it('says of a stale answer why and since when', async () => {
    const { url, path, hub, ended, ends } = await served();
    hub.answer = { outcome: 'stale', stale: 'unreachable', checkedAt: 1_000_000 - 90_500 };
    for (const method of ['GET', 'HEAD']) {
      const answer = await get(url, path, { method });
      expect(answer.status).toBe(200);
      expect(answer.headers.get('warning')).toMatch(/^299 - ".*upstream cannot be reached.*"$/);
      expect(answer.headers.get('age')).toBe('90');
    }
    await ended(2);
    expect(ends.map(end => end.outcome)).toEqual(['stale', 'stale']);
  });

  it('never says a negative age', async () => {
    const { url, path, hub } = await served();
    hub.answer = { outcome: 'stale', stale: 'slow', checkedAt: 1_005_000 };
    expect((await get(url, path)).headers.get('age')).toBe('0');
  });
});

describe('namespaces', () => {
  it('looks up ns and echoes it exactly as sent', async () => {
    const { url, ghcr } = await serveApp();
    ghcr.addManifest(bytes, mediaType, 'latest');
    const answer = await get(url, '/v2/team/app/manifests/latest?ns=GHCR.io');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('oci-namespace')).toBe('GHCR.io');
    expect(ghcr.asked[0]?.repository).toBe('team/app');
  });

  it('echoes ns on errors too, and sends none when none was given', async () => {
    const { url } = await serveApp();
    const withNs = await get(url, '/v2/team/app/manifests/latest?ns=ghcr.io');
    expect([withNs.status, withNs.headers.get('oci-namespace')]).toEqual([404, 'ghcr.io']);
    const without = await get(url, '/v2/team/app/manifests/latest');
    expect(without.headers.has('oci-namespace')).toBe(false);
  });

  it('takes an ns that names the mirror itself as absent', async () => {
    const { url, hub } = await serveApp();
    hub.addManifest(bytes, mediaType, 'latest');
    const { host } = new URL(url);
    const answer = await get(url, `/v2/busybox/manifests/latest?ns=${host}`);
    expect(answer.status).toBe(200);
    expect(hub.asked[0]?.repository).toBe('library/busybox');
  });

  it('does not break on an ns that only folds to a known host', async () => {
    const { url } = await serveApp();
    const answer = await get(url, '/v2/a/b/manifests/latest?ns=doc%E2%84%AAer.io'); // KELVIN SIGN
    expect(answer.status).toBe(404);
    expect(answer.headers.has('oci-namespace')).toBe(false);
  });

  it('answers 404 for a host that is not configured and asks no upstream', async () => {
    const { url, hub, ghcr } = await serveApp();
    for (const path of [
      '/v2/a/b/manifests/1?ns=quay.io',
      '/v2/quay.io/a/b/manifests/1',
      '/v2/localhost:1/a/manifests/1',
    ]) {
      const answer = await get(url, path);
      expect([path, answer.status]).toEqual([path, 404]);
      expect(JSON.parse(answer.body.toString()).errors[0].code).toBe('NAME_UNKNOWN');
    }
    expect([...hub.asked, ...ghcr.asked]).toEqual([]);
  });
});

describe('errors', () => {
  it('go out as OCI JSON that no cache may keep', async () => {
    const { url, path, hub } = await served();
    hub.before = () => {
      throw new UpstreamError({
        upstream: 'docker.io',
        kind: 'manifest',
        failure: 'timeout',
        message: 'expected an answer within 8000 ms, got none',
      });
    };
    const answer = await get(url, path);
    expect(answer.status).toBe(503);
    expect(answer.headers.get('content-type')).toBe('application/json');
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.headers.get('docker-distribution-api-version')).toBe('registry/2.0');
    expect(JSON.parse(answer.body.toString())).toEqual({
      errors: [
        {
          code: 'UNAVAILABLE',
          message: 'expected an answer within 8000 ms, got none',
          detail: { upstream: 'docker.io', reason: 'timeout' },
        },
      ],
    });
  });

  it('have no body on HEAD', async () => {
    const { url } = await serveApp();
    const answer = await head(url, '/v2/library/nothing/manifests/1');
    expect([answer.status, answer.bytes, answer.surplusBytes]).toEqual([404, 0, 0]);
  });

  it('that are not foreseen are 500 without internals, and logged with their stack', async () => {
    const { url, path, hub, lines, ended, ends } = await served();
    hub.before = () => {
      throw new TypeError('/srv/cistern/secret-place is broken');
    };
    const answer = await get(url, path);
    expect(answer.status).toBe(500);
    expect(JSON.parse(answer.body.toString()).errors).toEqual([
      { code: 'UNKNOWN', message: 'unexpected error' },
    ]);
    await ended(1);
    expect(ends[0]).toMatchObject({ status: 500, outcome: 'error', upstream: 'docker.io', kind: 'manifest' });
    const logged = lines.find(({ msg }) => msg === 'unexpected error');
    expect(logged).toMatchObject({
      level: 'error',
      error: { type: 'TypeError', stack: expect.stringContaining('pull-manifest') },
    });
  });

  it.each(['TOOMANYREQUESTS', 'UNAUTHORIZED'] as const)(
    'never pass %s on: no 429, no challenge',
    async code => {
      const { RegistryError } = await import('../../../../src/oci/error.ts');
      const { url, path, hub } = await served();
      hub.before = () => {
        throw new RegistryError(code);
      };
      const answer = await get(url, path);
      expect(answer.status).toBe(503);
      expect(answer.headers.has('www-authenticate')).toBe(false);
    },
  );
});
