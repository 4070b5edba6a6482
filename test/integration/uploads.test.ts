/** Uploads over HTTP: each form of the distribution-spec, what each answer says, and what bad requests get. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { type CallResult, get, head } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { MemoryHostedLog } from '../support/memory-hosted-log.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { filesUnder } from '../support/temp-dir.ts';
import { finish, open, pushBlob, send, startUpload } from '../support/upload-client.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';

const blob = patternBlob('pushed', 300_000);
const bytes = blob.slice(0, blob.size);
const blobPath = `/v2/team/app/blobs/${blob.digest}`;

let upstream: FakeUpstream;
let mirror: TestMirror;

beforeEach(async () => {
  upstream = await startFakeUpstream();
  mirror = await startTestMirror({
    upstream,
    hosted: { log: new MemoryHostedLog() },
    config: { hosted: { repositories: ['team/**'] } },
  });
});

function expectError({ status, body, headers }: CallResult, expected: number, code: string): void {
  expect([status, body.toString()]).toEqual([expected, expect.stringContaining(code)]);
  expect(JSON.parse(body.toString())).toMatchObject({ errors: [{ code, message: expect.any(String) }] });
  expect(headers.get('content-type')).toMatch(/^application\/json/);
}

async function expectHeld(): Promise<void> {
  const { status, sha256 } = await get(mirror.url, blobPath);
  expect([status, sha256]).toEqual([200, blob.digest]);
  expect((await filesUnder(mirror.storePath)).filter(file => file.startsWith('uploads-v1'))).toEqual([]);
}

function headersOf({ headers }: CallResult, ...names: string[]): (string | undefined)[] {
  return names.map(name => headers.get(name));
}

describe('forms', () => {
  test('chunked: POST, PATCH with and without Content-Range, status, PUT with the last chunk', async () => {
    const started = await send(mirror.url, 'POST', '/v2/team/app/blobs/uploads/');
    const [location = '', id] = headersOf(started, 'location', 'docker-upload-uuid');
    expect(started.status).toBe(202);
    expect(location).toBe(`/v2/team/app/blobs/uploads/${id}`);
    expect(id).toMatch(/^[a-f0-9]{32}$/);
    expect(headersOf(started, 'range', 'content-length')).toEqual(['0-0', '0']);
    const first = await send(mirror.url, 'PATCH', location, {
      body: bytes.subarray(0, 100_000),
      headers: { 'Content-Range': '0-99999' },
    });
    expect(first.status).toBe(202);
    expect(headersOf(first, 'range', 'location', 'docker-upload-uuid', 'content-length')).toEqual([
      '0-99999',
      location,
      id,
      '0',
    ]);
    const second = await send(mirror.url, 'PATCH', location, { body: bytes.subarray(100_000, 200_000) });
    expect([second.status, second.headers.get('range')]).toEqual([202, '0-199999']);
    const status = await get(mirror.url, location);
    expect([status.status, ...headersOf(status, 'range', 'location', 'docker-upload-uuid')]).toEqual([
      204,
      '0-199999',
      location,
      id,
    ]);
    expect((await get(mirror.url, blobPath)).status).toBe(404);
    const last = await finish(mirror.url, location, blob.digest, {
      body: bytes.subarray(200_000),
      headers: { 'Content-Range': '200000-299999' },
    });
    expect(last.status).toBe(201);
    expect(headersOf(last, 'location', 'docker-content-digest', 'range', 'content-length')).toEqual([
      blobPath,
      blob.digest,
      undefined,
      '0',
    ]);
    await expectHeld();
    expect(upstream.lines()).toEqual([]);
  });

  test('monolithic: POST, then PUT with all of it', async () => {
    const { location } = await startUpload(mirror.url, 'team/app');
    expect((await finish(mirror.url, location, blob.digest, { body: bytes })).status).toBe(201);
    await expectHeld();
  });

  test('in one POST; and a POST with a digest but no body is a session that binds it', async () => {
    const path = `/v2/team/app/blobs/uploads/?digest=${blob.digest}`;
    const { location } = await startUpload(mirror.url, 'team/app', { query: `?digest=${blob.digest}` });
    const posted = await send(mirror.url, 'POST', path, { body: bytes });
    expect([posted.status, posted.headers.get('location')]).toEqual([201, blobPath]);
    const other = await finish(mirror.url, location, digestOf(Buffer.from('x')), { body: Buffer.from('x') });
    expectError(other, 400, 'DIGEST_INVALID');
    await expectHeld();
  });

  test('streamed, as dockerd does: a body without a length', async () => {
    const { location } = await startUpload(mirror.url, 'team/app');
    const patch = open(mirror.url, 'PATCH', location, { 'Transfer-Encoding': 'chunked' });
    for (let at = 0; at < bytes.length; at += 70_000) patch.writeChunk(bytes.subarray(at, at + 70_000));
    patch.endChunks();
    const { status, headers } = await patch.done;
    expect([status, headers.get('range')]).toEqual([202, '0-299999']);
    expect((await finish(mirror.url, location, blob.digest)).status).toBe(201);
    await expectHeld();
  });

  test('of the empty blob, in one POST and by a session; of another algorithm, told or not', async () => {
    const empty = digestOf(Buffer.alloc(0));
    const posted = await send(mirror.url, 'POST', `/v2/team/app/blobs/uploads/?digest=${empty}`);
    expect(posted.status).toBe(201);
    const { location } = await startUpload(mirror.url, 'team/b');
    expect((await finish(mirror.url, location, empty)).status).toBe(201);
    expect((await head(mirror.url, `/v2/team/b/blobs/${empty}`)).headers.get('content-length')).toBe('0');
    const long = digestOf(bytes, 'sha512');
    for (const query of ['', '?digest-algorithm=sha512', `?digest=${long}`]) {
      const session = await startUpload(mirror.url, 'team/c', { query });
      expect((await finish(mirror.url, session.location, long, { body: bytes })).status).toBe(201);
    }
    expect((await get(mirror.url, `/v2/team/c/blobs/${long}`)).sha256).toBe(blob.digest);
  });

  test('cancel: 204, and the session is gone', async () => {
    const { location } = await startUpload(mirror.url, 'team/app');
    await send(mirror.url, 'PATCH', location, { body: bytes });
    expect((await send(mirror.url, 'DELETE', location)).status).toBe(204);
    expectError(await get(mirror.url, location), 404, 'BLOB_UPLOAD_UNKNOWN');
    expect((await filesUnder(mirror.storePath)).filter(file => /^(uploads|blobs)-v1/.test(file))).toEqual([]);
  });

  test('ns and the mirror’s own name are kept in what the answer names', async () => {
    const ns = new URL(mirror.url).host;
    const started = await send(mirror.url, 'POST', `/v2/team/app/blobs/uploads/?ns=${ns}`);
    expect(started.headers.get('location')).toMatch(/^\/v2\/team\/app\/blobs\/uploads\/[a-f0-9]{32}\?ns=/);
  });
});

describe('bad requests get the code of the spec as JSON, and the session goes on', () => {
  async function sessionAt(offset: number): Promise<string> {
    const { location } = await startUpload(mirror.url, 'team/app');
    if (offset > 0) await send(mirror.url, 'PATCH', location, { body: bytes.subarray(0, offset) });
    return location;
  }

  async function expectUsable(location: string, offset: number): Promise<void> {
    expect((await get(mirror.url, location)).headers.get('range')).toBe(`0-${Math.max(0, offset - 1)}`);
    const last = await finish(mirror.url, location, blob.digest, { body: bytes.subarray(offset) });
    expect(last.status).toBe(201);
    await expectHeld();
  }

  test.each(['0-99999', '99999-199998', '100001-200000'])('a chunk out of order (%s)', async range => {
    const location = await sessionAt(100_000);
    const body = bytes.subarray(0, 100_000);
    for (const path of [location, `${location}?digest=${blob.digest}`]) {
      const method = path === location ? 'PATCH' : 'PUT';
      const answer = await send(mirror.url, method, path, { body, headers: { 'Content-Range': range } });
      expectError(answer, 416, 'RANGE_INVALID');
      expect(headersOf(answer, 'range', 'location')).toEqual(['0-99999', location]);
    }
    await expectUsable(location, 100_000);
  });

  test.each(['x', '5', '5-', '9-3', '0-99999999999999999999', 'bytes */9'])(
    'Content-Range %s',
    async range => {
      const location = await sessionAt(0);
      const answer = await send(mirror.url, 'PATCH', location, {
        body: bytes.subarray(0, 10),
        headers: { 'Content-Range': range },
      });
      expectError(answer, 416, 'RANGE_INVALID');
      await expectUsable(location, 0);
    },
  );

  test('lengths that differ: of the range and the body, known before or only at its end', async () => {
    const location = await sessionAt(0);
    const headers = { 'Content-Range': '0-9' };
    const answer = await send(mirror.url, 'PATCH', location, { body: bytes.subarray(0, 11), headers });
    expectError(answer, 400, 'SIZE_INVALID');
    const patch = open(mirror.url, 'PATCH', location, { ...headers, 'Transfer-Encoding': 'chunked' });
    patch.writeChunk(bytes.subarray(0, 15));
    patch.endChunks();
    const { status, body } = await patch.done;
    expect([status, body]).toEqual([400, expect.stringContaining('SIZE_INVALID')]);
    await expectUsable(location, 10);
  });

  test('a wrong, a malformed and a missing digest', async () => {
    const location = await sessionAt(0);
    expectError(await send(mirror.url, 'PUT', location, { body: bytes }), 400, 'DIGEST_INVALID');
    for (const digest of ['', 'sha256:abc', `sha256:${'A'.repeat(64)}`, `md5:${'a'.repeat(32)}`]) {
      const answer = await send(mirror.url, 'PUT', `${location}?digest=${digest}`, { body: bytes });
      expectError(answer, 400, 'DIGEST_INVALID');
    }
    const started = await send(mirror.url, 'POST', '/v2/team/app/blobs/uploads/?digest=nonsense');
    expectError(started, 400, 'DIGEST_INVALID');
    const algorithm = await send(mirror.url, 'POST', '/v2/team/app/blobs/uploads/?digest-algorithm=md5');
    expectError(algorithm, 400, 'DIGEST_INVALID');
    await expectUsable(location, 0);
    const wrong = await sessionAt(0);
    const answer = await finish(mirror.url, wrong, digestOf(Buffer.from('other')), { body: bytes });
    expectError(answer, 400, 'DIGEST_INVALID');
    expectError(await get(mirror.url, wrong), 404, 'BLOB_UPLOAD_UNKNOWN');
  });

  test('a session that is unknown, of another repository, or no session’s name', async () => {
    const location = await sessionAt(0);
    const id = location.split('/').at(-1) ?? '';
    for (const path of [
      `/v2/team/app/blobs/uploads/${'0'.repeat(32)}`,
      `/v2/team/other/blobs/uploads/${id}`,
      '/v2/team/app/blobs/uploads/../../../etc/passwd',
      '/v2/team/app/blobs/uploads/..%2f..%2fid',
      `/v2/team%2Fapp/blobs/uploads/${id}`,
      `/v2/team/app/blobs/uploads/${id}.json`,
      `/v2/team/app/blobs/uploads/${id.toUpperCase()}`,
    ]) {
      for (const method of ['GET', 'PATCH', 'PUT', 'DELETE']) {
        const query = method === 'PUT' ? `?digest=${blob.digest}` : '';
        const answer = await send(mirror.url, method, path + query, { headers: { Connection: 'close' } });
        expect([400, 404]).toContain(answer.status);
        expect(JSON.parse(answer.body.toString()).errors[0].code).toMatch(
          /^(?:BLOB_UPLOAD_UNKNOWN|NAME_INVALID|NAME_UNKNOWN)$/,
        );
      }
    }
    await expectUsable(location, 0);
  });

  test('two finals at the same time: one blob, and the other one hears of it', async () => {
    const location = await sessionAt(300_000);
    const answers = await Promise.all([1, 2, 3].map(() => finish(mirror.url, location, blob.digest)));
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses.filter(status => status === 201)).toHaveLength(1);
    for (const { status, body } of answers) {
      if (status !== 201) expect(body.toString()).toMatch(/BLOB_UPLOAD_(?:INVALID|UNKNOWN)/);
    }
    await expectHeld();
  });

  test('a name that is mirrored: 403 that says what is hosted, before the body and without an upstream', async () => {
    const post = open(mirror.url, 'POST', '/v2/library/alpine/blobs/uploads/', {
      'Content-Length': '1000000',
      Expect: '100-continue',
    });
    const { status, body } = await post.done;
    expect([status, body]).toEqual([403, expect.stringContaining('team/**')]);
    expect([post.interim, upstream.lines()]).toEqual([[], []]);
  });
});

describe('a client that waits for 100 Continue', () => {
  const headers = { 'Content-Length': '10', Expect: '100-continue' };

  test('is asked for its body by a session that takes it', async () => {
    const { location } = await startUpload(mirror.url, 'team/app');
    const patch = open(mirror.url, 'PATCH', location, headers);
    await patch.continued;
    patch.write(bytes.subarray(0, 10));
    expect([(await patch.done).status, patch.interim]).toEqual([202, [100]]);
  });

  test('is not asked for one that is refused', async () => {
    const { location } = await startUpload(mirror.url, 'team/app');
    for (const [path, extra] of [
      ['/v2/team/app/blobs/uploads/0', {}],
      [location, { 'Content-Range': '5-14' }],
      [location, { 'Content-Range': '0-3' }],
    ] as const) {
      const patch = open(mirror.url, 'PATCH', path, { ...headers, ...extra });
      expect((await patch.done).status).toBeGreaterThanOrEqual(400);
      expect(patch.interim).toEqual([]);
    }
  });
});

describe('a connection that breaks', () => {
  test('what came counts: status says how far, and the rest follows', async () => {
    const { location, id } = await startUpload(mirror.url, 'team/app');
    const patch = open(mirror.url, 'PATCH', location, { 'Content-Length': String(bytes.length) });
    patch.write(bytes.subarray(0, 200_000));
    await written(id, 200_000);
    patch.leave();
    const { headers } = await get(mirror.url, location);
    expect(headers.get('range')).toBe('0-199999');
    const last = await finish(mirror.url, location, blob.digest, { body: bytes.subarray(200_000) });
    expect(last.status).toBe(201);
    await expectHeld();
  });

  test('a second request takes over one that is still open, which ends with 400', async () => {
    const { location, id } = await startUpload(mirror.url, 'team/app');
    const first = open(mirror.url, 'PATCH', location, { 'Content-Length': String(bytes.length) });
    first.write(bytes.subarray(0, 200_000));
    await written(id, 200_000);
    const second = await send(mirror.url, 'PATCH', location, {
      body: bytes.subarray(200_000),
      headers: { 'Content-Range': '200000-299999' },
    });
    expect(second.status).toBe(202);
    const { status, body } = await first.done;
    expect([status, body]).toEqual([400, expect.stringContaining('BLOB_UPLOAD_INVALID')]);
    await first.closed;
    expect((await finish(mirror.url, location, blob.digest)).status).toBe(201);
    await expectHeld();
  });

  /** Resolves when the part file has so many bytes. */
  async function written(id: string, size: number): Promise<void> {
    const part = join(mirror.storePath, 'uploads-v1', `${id}.part`);
    for (;;) {
      const found = await readFile(part).catch(() => Buffer.alloc(0));
      if (found.length >= size) return;
    }
  }
});

test('metrics: bytes received, sessions that are open, and how uploads ended', async () => {
  const { location } = await startUpload(mirror.url, 'team/app');
  expect(await mirror.metric('cistern_uploads_open')).toBe(1);
  await send(mirror.url, 'DELETE', location);
  expect(await pushBlob(mirror.url, 'team/app', blob)).toBe(201);
  expect((await send(mirror.url, 'POST', `/v2/team/b/blobs/uploads/?mount=${blob.digest}`)).status).toBe(201);
  const wrong = await startUpload(mirror.url, 'team/app');
  await finish(mirror.url, wrong.location, digestOf(Buffer.from('other')));
  const totals = await Promise.all(
    ['committed', 'mounted', 'cancelled', 'expired', 'failed'].map(result =>
      mirror.metric(`cistern_uploads_total{result="${result}"}`),
    ),
  );
  expect([totals, await mirror.metric('cistern_uploads_open')]).toEqual([[1, 1, 1, 0, 1], 0]);
  expect(await mirror.metric('cistern_received_bytes_total')).toBe(blob.size);
  const labels = 'upstream="hosted",kind="upload",method="POST",status="202",outcome="hit"';
  expect(await mirror.metric(`cistern_requests_total{${labels}}`)).toBe(3);
});
