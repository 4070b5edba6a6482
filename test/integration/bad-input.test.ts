/** Bad input: the right OCI error in JSON, never a 500, never a file outside the store, and no upstream is dialled. */
import { beforeEach, describe, expect, test } from 'vitest';
import { get, request } from '../support/client.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { filesUnder } from '../support/temp-dir.ts';
import { titled } from '../support/titles.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';

const digest = `sha256:${'a'.repeat(64)}`;
let upstream: FakeUpstream;
let mirror: TestMirror;

beforeEach(async () => {
  upstream = await startFakeUpstream();
  upstream.put('library/alpine', buildImage(), 'latest');
  mirror = await startTestMirror({ upstream });
});

async function expectError(
  call: { status: number; body: Buffer; headers: ReadonlyMap<string, string> },
  status: number,
  code: string,
) {
  expect([call.status, call.body.toString()]).toEqual([status, expect.stringContaining(code)]);
  expect(JSON.parse(call.body.toString())).toMatchObject({ errors: [{ code, message: expect.any(String) }] });
  expect(call.headers.get('content-type')).toMatch(/^application\/json/);
  expect(upstream.lines()).toEqual([]);
  const foreign = (await filesUnder(mirror.storePath)).filter(file =>
    /^(blobs|ingest|records)-v1/.test(file),
  );
  expect(foreign).toEqual([]);
}

describe('names', () => {
  test.each(
    titled([
      '/v2/../etc/passwd/manifests/latest',
      '/v2/library/../../etc/manifests/latest',
      '/v2/library/..%2f..%2fetc/manifests/latest',
      '/v2/library%2Falpine/manifests/latest',
      '/v2/%2e%2e/alpine/manifests/latest',
      '/v2/library//alpine/manifests/latest',
      '/v2/Library/Alpine/manifests/latest',
      '/v2/library/al%00pine/manifests/latest',
      '/v2/library/alp ine/manifests/latest'.replace(' ', '%20'),
      '/v2/_record/x/manifests/latest',
      '/v2/library/_record/manifests/latest',
      `/v2/${'a/'.repeat(200)}a/manifests/latest`,
      `/v2/${'a'.repeat(300)}/manifests/latest`,
      '/v2/-a/manifests/latest',
      '/v2/a..b/manifests/latest',
      '/v2/docker.io//manifests/latest',
      '/v2/docker.io/../x/manifests/latest',
    ]),
  )('%s is NAME_INVALID', async (_title, path) => {
    await expectError(await get(mirror.url, path), 400, 'NAME_INVALID');
  });
});

describe('references and digests', () => {
  test.each(
    titled([
      '/v2/library/alpine/manifests/sha256:abc',
      `/v2/library/alpine/manifests/sha256:${'A'.repeat(64)}`,
      '/v2/library/alpine/blobs/sha256:baddigeststring',
      '/v2/library/alpine/blobs/MD5:d41d8cd98f00b204e9800998ecf8427e',
      '/v2/library/alpine/blobs/blake3:d41d8cd98f~',
      '/v2/library/alpine/referrers/md5:d41d8cd98f00b204e9800998ecf8427e',
      `/v2/library/alpine/blobs/sha512:${'a'.repeat(64)}`,
      '/v2/library/alpine/referrers/sha256:xyz',
      '/v2/library/alpine/blobs/latest',
    ]),
  )('%s is DIGEST_INVALID', async (_title, path) => {
    await expectError(await get(mirror.url, path), 400, 'DIGEST_INVALID');
  });

  test.each(titled(['/v2/library/alpine/manifests/-bad', `/v2/library/alpine/manifests/${'t'.repeat(129)}`]))(
    '%s is TAG_INVALID',
    async (_title, path) => {
      await expectError(await get(mirror.url, path), 400, 'TAG_INVALID');
    },
  );
});

test.each(
  titled([
    ['/v2/library/alpine/manifests/latest?ns=evil.example', 404, 'NAME_UNKNOWN'],
    ['/v2/library/alpine/manifests/latest?ns=http%3A%2F%2F127.0.0.1', 404, 'NAME_UNKNOWN'],
    ['/v2/library/alpine/manifests/latest?ns=../../etc', 404, 'NAME_UNKNOWN'],
    [`/v2/library/alpine/manifests/latest?ns=${'x'.repeat(2000)}`, 404, 'NAME_UNKNOWN'],
    ['/v2/__proto__/x/manifests/latest', 400, 'NAME_INVALID'],
    ['/v2/library/alpine/manifests/latest?ns=__proto__', 404, 'NAME_UNKNOWN'],
  ]),
)('ns: %s', async (_title, [path, status, code]) => {
  await expectError(await get(mirror.url, path), status, code);
});

test.each(['/v2/library/alpine', '/v2/library/alpine/unknown/x', '/v2/manifests'])(
  'an unknown path %s is 404 in JSON',
  async path => {
    const result = await get(mirror.url, path);
    expect([404, 400]).toContain(result.status);
    expect(JSON.parse(result.body.toString()).errors).toHaveLength(1);
  },
);

test.each(['POST', 'PUT', 'PATCH', 'DELETE'])('%s is 405 UNSUPPORTED, whatever it brings', async method => {
  for (const path of [
    `/v2/library/alpine/manifests/latest`,
    `/v2/library/alpine/blobs/${digest}`,
    '/v2/library/alpine/blobs/uploads/',
  ]) {
    const result = await request(mirror.url, { path, method, body: 'x'.repeat(1000) }).done;
    await expectError(result, 405, 'UNSUPPORTED');
  }
});

test('a request line that is too long is 431 in JSON', async () => {
  await expectErrorLine(await get(mirror.url, `/v2/${'a'.repeat(100_000)}/manifests/latest`), 431);
});

test('headers that are too long are 431 in JSON', async () => {
  const result = await get(mirror.url, '/v2/', { headers: { 'X-Long': 'x'.repeat(100_000) } });
  await expectErrorLine(result, 431);
});

test.each([
  'GET /v2/ HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n',
  'NONSENSE\r\n\r\n',
  'GET /v2/\u0001 HTTP/1.1\r\n\r\n',
])('a request that is no HTTP is 400 in JSON: %j', async raw => {
  await expectErrorLine(await request(mirror.url, { raw }).done, 400);
});

test('a TLS hello on the plain port gets a 400 and a close, never a hang', async () => {
  const hello = Buffer.from('16030100a5010000a10303', 'hex');
  const result = await request(mirror.url, { raw: Buffer.concat([hello, Buffer.alloc(200)]) }).done;
  expect(result.status).toBe(400);
});

test.each(titled(['bytes=abc', 'bytes=', 'bytes=5', 'lines=1-2', 'bytes=--5', `bytes=${'9'.repeat(400)}-`]))(
  'a Range header of %s is never a 500',
  async (_title, range) => {
    const layer = buildImage().layers[0]?.descriptor.digest;
    const result = await get(mirror.url, `/v2/library/alpine/blobs/${layer}`, { headers: { Range: range } });
    expect([200, 206, 416]).toContain(result.status);
  },
);

async function expectErrorLine(result: { status: number; body: Buffer }, status: number): Promise<void> {
  expect(result.status).toBe(status);
  expect(JSON.parse(result.body.toString()).errors).toHaveLength(1);
  expect(upstream.lines()).toEqual([]);
}
