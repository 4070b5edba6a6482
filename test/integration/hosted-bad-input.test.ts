/**
 * Bad requests to the private registry beside those of uploads.test.ts and hosted-manifests.test.ts: the spec's code as JSON, never a 500, and
 * nothing written outside of what they name.
 */
import { readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { ociManifest } from '../../src/oci/media-type.ts';
import { type CallOptions, get, request } from '../support/client.ts';
import { hostedConfig, pushImage } from '../support/collection-soak.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { filesUnder } from '../support/temp-dir.ts';
import { finish, open, pushBlob, send, startUpload } from '../support/upload-client.ts';

const blob = patternBlob('a good one', 1000);
const bytes = blob.slice(0, blob.size);
const name = '/v2/team/app';
const session = 'f'.repeat(32);

async function start(): Promise<TestMirror> {
  const mirror = await startTestMirror({ config: { upstreams: {}, ...hostedConfig() } });
  await mirror.settled();
  return mirror;
}

const cases: readonly (readonly [
  method: string,
  path: string,
  status: number,
  code: string,
  options?: CallOptions,
])[] = [
  ['POST', '/v2/team%2Fapp/blobs/uploads/', 400, 'NAME_INVALID'],
  ['POST', '/v2/team/../../etc/blobs/uploads/', 400, 'NAME_INVALID'],
  ['POST', '/v2/team/..%2f..%2fetc/blobs/uploads/', 400, 'NAME_INVALID'],
  ['POST', '/v2/team/%2e%2e/etc/blobs/uploads/', 400, 'NAME_INVALID'],
  ['POST', '/v2/team/App/blobs/uploads/', 400, 'NAME_INVALID'],
  ['POST', '/v2/team/_repository/blobs/uploads/', 400, 'NAME_INVALID'],
  ['POST', '/v2/team/a%00b/blobs/uploads/', 400, 'NAME_INVALID'],
  ['POST', `/v2/team/${'a'.repeat(300)}/blobs/uploads/`, 400, 'NAME_INVALID'],
  ['POST', `${name}/blobs/uploads/?digest=sha256:xyz`, 400, 'DIGEST_INVALID'],
  ['POST', `${name}/blobs/uploads/?digest=../../etc/passwd`, 400, 'DIGEST_INVALID'],
  ['POST', `${name}/blobs/uploads/?digest-algorithm=md5`, 400, 'DIGEST_INVALID'],
  ['POST', `${name}/blobs/uploads/?digest=${blob.digest}`, 400, 'DIGEST_INVALID', { body: 'other bytes' }],
  ['PATCH', `${name}/blobs/uploads/${session}`, 404, 'BLOB_UPLOAD_UNKNOWN', { body: 'x' }],
  ['PUT', `${name}/blobs/uploads/${session}?digest=${blob.digest}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
  ['GET', `${name}/blobs/uploads/${session}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
  ['DELETE', `${name}/blobs/uploads/${session}`, 404, 'BLOB_UPLOAD_UNKNOWN'],
  ['PATCH', `${name}/blobs/uploads/..%2f..%2fx`, 400, 'NAME_INVALID', { body: 'x' }],
  ['PATCH', `${name}/blobs/uploads/../../x`, 400, 'NAME_INVALID', { body: 'x' }],
  ['PUT', `${name}/manifests/a%2Fb`, 400, 'NAME_INVALID', { body: '{}' }],
  ['PUT', `${name}/manifests/..`, 400, 'NAME_INVALID', { body: '{}' }],
  ['PUT', `${name}/manifests/${'t'.repeat(129)}`, 400, 'TAG_INVALID', { body: '{}' }],
  ['PUT', `${name}/manifests/v1`, 400, 'MANIFEST_INVALID', { body: '{"schemaVersion":2,"schemaVersion":' }],
  ['DELETE', `${name}/manifests/-x`, 400, 'TAG_INVALID'],
  ['DELETE', `${name}/manifests/none`, 404, 'MANIFEST_UNKNOWN'],
  ['DELETE', `${name}/manifests/sha256:${'0'.repeat(64)}`, 404, 'MANIFEST_UNKNOWN'],
  ['DELETE', `${name}/manifests/sha256:0`, 400, 'DIGEST_INVALID'],
  ['DELETE', `${name}/blobs/latest`, 400, 'DIGEST_INVALID'],
  ['DELETE', `${name}/blobs/sha256:${'0'.repeat(64)}`, 404, 'BLOB_UNKNOWN'],
  ['DELETE', `/v2/team%2Fapp/blobs/${blob.digest}`, 400, 'NAME_INVALID'],
  [
    'PATCH',
    `${name}/blobs/uploads/${session}`,
    431,
    'UNSUPPORTED',
    { headers: { 'X-Huge': 'h'.repeat(100_000) } },
  ],
  ['PUT', `${name}/manifests/v1`, 431, 'UNSUPPORTED', { headers: { 'Content-Type': 'h'.repeat(100_000) } }],
  ['PATCH', `${name}/blobs/uploads/${session}`, 400, 'UNSUPPORTED', { headers: { 'Content-Length': '-1' } }],
  [
    'PATCH',
    `${name}/blobs/uploads/${session}`,
    400,
    'UNSUPPORTED',
    { headers: { 'Content-Length': '3', 'Transfer-Encoding': 'chunked' }, body: '0\r\n\r\n' },
  ],
];

test('each gets its code as JSON, and neither a session nor a file is left', async () => {
  const mirror = await start();
  expect(await pushBlob(mirror.url, 'team/app', blob)).toBe(201);
  const outside = dirname(mirror.storePath);
  const [before, beside] = [await filesUnder(mirror.storePath), await readdir(outside)];
  const answers: string[] = [];
  for (const [method, path, , , options = {}] of cases) {
    const length = options.body === undefined && method !== 'GET' ? { 'Content-Length': '0' } : {};
    const headers = { ...length, ...options.headers };
    const answer = await request(mirror.url, { method, path, ...options, headers }).done;
    const { code } = JSON.parse(answer.body.toString()).errors[0];
    answers.push(`${method} ${path.slice(0, 80)} ${answer.status} ${code}`);
  }
  expect(answers).toEqual(
    cases.map(([method, path, status, code]) => `${method} ${path.slice(0, 80)} ${status} ${code}`),
  );
  expect(await filesUnder(mirror.storePath)).toEqual(before);
  expect(await readdir(outside)).toEqual(beside);
  expect(await mirror.metric('cistern_uploads_open')).toBe(0);
  expect((await get(mirror.url, `${name}/blobs/${blob.digest}`)).sha256).toBe(blob.digest);
});

test('a mount of nonsense is an upload; the second of two finals finds no session any more', async () => {
  const { url } = await start();
  for (const query of ['?mount=x&from=../../etc', `?mount=${blob.digest}&from=%00`, '?mount=&from=']) {
    const { location } = await startUpload(url, 'team/app', { query });
    expect((await send(url, 'DELETE', location)).status).toBe(204);
  }
  const { location } = await startUpload(url, 'team/app');
  expect((await finish(url, location, blob.digest, { body: bytes })).status).toBe(201);
  const second = await finish(url, location, blob.digest, { body: bytes });
  expect([second.status, second.body.toString()]).toEqual([
    404,
    expect.stringContaining('BLOB_UPLOAD_UNKNOWN'),
  ]);
  expect((await get(url, `${name}/blobs/${blob.digest}`)).sha256).toBe(blob.digest);
});

test('a body that stops for 60 s is 408 and a closed connection: the session goes on, a manifest is none', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], shouldAdvanceTime: true });
  onTestFinished(() => void vi.useRealTimers());
  const mirror = await start();
  const { location } = await startUpload(mirror.url, 'team/app');
  const patch = open(mirror.url, 'PATCH', location, { 'Content-Length': String(bytes.length) });
  patch.write(bytes.subarray(0, 400));
  const put = open(mirror.url, 'PUT', `${name}/manifests/slow`, {
    'Content-Type': ociManifest,
    'Content-Length': '1000',
  });
  put.write('{"schemaVersion":2');
  await expect.poll(() => mirror.metric('cistern_received_bytes_total')).toBe(400);
  await vi.advanceTimersByTimeAsync(61_000);
  for (const call of [patch, put]) {
    expect((await call.done).status).toBe(408);
    await call.closed;
  }
  expect((await get(mirror.url, location)).headers.get('range')).toBe('0-399');
  expect((await finish(mirror.url, location, blob.digest, { body: bytes.subarray(400) })).status).toBe(201);
  expect((await get(mirror.url, `${name}/manifests/slow`)).status).toBe(404);
});

test('of several things that are wrong with a manifest the first of the table is the answer, and nothing changes', async () => {
  const [good, other] = [buildImage({ layers: ['good'] }), buildImage({ layers: ['other'] })];
  const pushed = [...good.blobs, ...other.blobs].map(({ descriptor }) => descriptor.size);
  const room = pushed.reduce((all, one) => all + one, good.bytes.length);
  const mirror = await startTestMirror({
    config: {
      upstreams: {},
      ...hostedConfig({
        immutable: ['team/app:fixed'],
        quotas: [{ repositories: ['team/**'], max_size: room }],
      }),
    },
  });
  expect(await pushImage(mirror, 'team/app', good, 'fixed')).toBe(201);
  for (const { content } of other.blobs) expect(await pushBlob(mirror.url, 'team/app', content)).toBe(201);
  const fields = JSON.parse(other.bytes.toString());
  const json = (changes: object) => Buffer.from(JSON.stringify({ ...fields, ...changes }));
  const missing = { ...fields.layers[0], digest: digestOf(Buffer.from('missing')) };
  const large = Buffer.alloc(4_194_305, ' ');
  const tries: readonly (readonly [string, Buffer, number, string])[] = [
    ['fixed?tag=-x', large, 400, 'TAG_INVALID'],
    [good.digest, large, 413, 'MANIFEST_INVALID'],
    [good.digest, Buffer.from('{"no":'), 400, 'DIGEST_INVALID'],
    ['fixed', json({ layers: [{ ...fields.layers[0], size: 1 }, missing] }), 400, 'MANIFEST_INVALID'],
    ['fixed', json({ layers: [missing] }), 400, 'MANIFEST_BLOB_UNKNOWN'],
    ['fixed', other.bytes, 409, 'DENIED'],
    ['free', other.bytes, 403, 'DENIED'],
  ];
  for (const [reference, body, status, code] of tries) {
    const headers = { 'Content-Type': other.mediaType };
    const answer = await send(mirror.url, 'PUT', `${name}/manifests/${reference}`, { headers, body });
    expect([reference, answer.status, JSON.parse(answer.body.toString()).errors[0].code]).toEqual([
      reference,
      status,
      code,
    ]);
  }
  expect(JSON.parse((await get(mirror.url, `${name}/tags/list`)).body.toString()).tags).toEqual(['fixed']);
  expect((await get(mirror.url, `${name}/manifests/${other.digest}`)).status).toBe(404);
});
