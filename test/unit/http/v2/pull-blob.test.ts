import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../../src/oci/digest.ts';
import { UpstreamError } from '../../../../src/registry/upstream-error.ts';
import { get, head } from '../../../support/client.ts';
import { type ServedApp, serveApp } from '../../../support/served-app.ts';

const bytes = Buffer.from(Array.from({ length: 1000 }, (_, index) => index % 251));
const digest = digestOf(bytes);
const path = `/v2/library/busybox/blobs/${digest}`;

async function served(): Promise<ServedApp> {
  const app = await serveApp();
  app.hub.addBlob(bytes);
  return app;
}

describe('GET blob', () => {
  it('sends the whole with its headers, and closes the reader', async () => {
    const { url, hub } = await served();
    const answer = await get(url, path);
    expect(answer.status).toBe(200);
    expect(answer.end).toBe('complete');
    expect(answer.body).toEqual(bytes);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-length': '1000',
      'accept-ranges': 'bytes',
      'docker-content-digest': digest,
      etag: `"${digest}"`,
      'docker-distribution-api-version': 'registry/2.0',
    });
    expect(answer.headers.has('content-range')).toBe(false);
    await hub.readers[0]?.closed;
  });

  it('never encodes content, whatever the client would take', async () => {
    const { url } = await served();
    const answer = await get(url, path, { headers: { 'Accept-Encoding': 'zstd;q=1.0, gzip;q=0.8' } });
    expect(answer.headers.has('content-encoding')).toBe(false);
    expect(answer.body).toEqual(bytes);
  });

  it.each([
    ['bytes=0-0', 206, 'bytes 0-0/1000', 0, 1],
    ['bytes=0-499', 206, 'bytes 0-499/1000', 0, 500],
    ['bytes=500-', 206, 'bytes 500-999/1000', 500, 1000],
    ['bytes=0-', 206, 'bytes 0-999/1000', 0, 1000],
    ['bytes=-1', 206, 'bytes 999-999/1000', 999, 1000],
    ['bytes=-5000', 206, 'bytes 0-999/1000', 0, 1000],
    ['bytes=900-5000', 206, 'bytes 900-999/1000', 900, 1000],
    ['BYTES=10-19', 206, 'bytes 10-19/1000', 10, 20],
    ['bytes=0-1,5000-', 206, 'bytes 0-1/1000', 0, 2],
    ['bytes=5000-,998-', 206, 'bytes 998-999/1000', 998, 1000],
    ['bytes=0-799,100-899', 200, undefined, 0, 1000],
    ['lines=0-1', 200, undefined, 0, 1000],
    ['bytes=a-b', 200, undefined, 0, 1000],
    ['bytes=', 200, undefined, 0, 1000],
    ['bytes=0-1;', 200, undefined, 0, 1000],
  ])('Range %s is %i %s', async (range, status, contentRange, start, end) => {
    const { url } = await served();
    const answer = await get(url, path, { headers: { Range: range } });
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-range')).toBe(contentRange);
    expect(answer.headers.get('content-length')).toBe(String(end - start));
    expect(answer.body).toEqual(bytes.subarray(start, end));
  });

  it.each(['bytes=1000-', 'bytes=5000-10000', 'bytes=500-0', 'bytes=-0', 'bytes=1000-,5000-'])(
    'Range %s is 416 with the size',
    async range => {
      const { url } = await served();
      const answer = await get(url, path, { headers: { Range: range } });
      expect(answer.status).toBe(416);
      expect(answer.headers.get('content-range')).toBe('bytes */1000');
      expect(JSON.parse(answer.body.toString()).errors[0].code).toBe('RANGE_INVALID');
    },
  );

  it('honours Range with an If-Range of this content only', async () => {
    const { url } = await served();
    const answers = [];
    for (const tag of [`"${digest}"`, `W/"${digest}"`, '"other"', 'Wed, 21 Oct 2015 07:28:00 GMT', digest]) {
      answers.push((await get(url, path, { headers: { Range: 'bytes=0-1', 'If-Range': tag } })).status);
    }
    expect(answers).toEqual([206, 200, 200, 200, 200]);
  });

  it('answers 304 without opening the blob when the client has it', async () => {
    const { url, hub } = await served();
    const answer = await get(url, path, {
      headers: { 'If-None-Match': `W/"${digest}"`, Range: 'bytes=0-1' },
    });
    expect([answer.status, answer.bytes, answer.headers.get('etag')]).toEqual([304, 0, `"${digest}"`]);
    expect(hub.asked.map(one => one.method)).toEqual(['stat']);
  });

  it('does not confirm a blob that may not be had', async () => {
    const { url } = await serveApp();
    const answer = await get(url, path, { headers: { 'If-None-Match': '*' } });
    expect(answer.status).toBe(404);
  });

  it('sends the whole with 200 when the registry sets the range aside', async () => {
    const { url, hub } = await served();
    hub.blobAnswer = { start: 0, end: 1000, partial: false };
    const answer = await get(url, path, { headers: { Range: 'bytes=500-' } });
    expect([answer.status, answer.bytes, answer.headers.has('content-range')]).toEqual([200, 1000, false]);
  });

  it('is chunked while the size is unknown', async () => {
    const { url, hub } = await served();
    hub.blobAnswer = { size: undefined, end: undefined };
    const answer = await get(url, path);
    expect(answer.headers.get('transfer-encoding')).toBe('chunked');
    expect(answer.headers.has('content-length')).toBe(false);
    expect([answer.end, answer.body.equals(bytes)]).toEqual(['complete', true]);
  });

  it('names a range of unknown total with an asterisk', async () => {
    const { url, hub } = await served();
    hub.blobAnswer = { size: undefined };
    const answer = await get(url, path, { headers: { Range: 'bytes=1-2' } });
    expect([answer.status, answer.headers.get('content-range')]).toEqual([206, 'bytes 1-2/*']);
  });

  it('sends an empty blob', async () => {
    const { url, hub } = await serveApp();
    const empty = hub.addBlob(Buffer.alloc(0));
    const answer = await get(url, `/v2/library/busybox/blobs/${empty}`);
    expect([answer.status, answer.end, answer.headers.get('content-length')]).toEqual([200, 'complete', '0']);
    await hub.readers[0]?.closed;
  });

  it('answers an ordinary error when the first read fails: nothing was sent yet', async () => {
    const { url, hub } = await served();
    hub.beforeRead = () => {
      throw new UpstreamError({
        upstream: 'docker.io',
        kind: 'blob',
        failure: 'unreachable',
        message: 'refused',
      });
    };
    const answer = await get(url, path, { headers: { Range: 'bytes=10-' } });
    expect([answer.status, answer.end]).toEqual([404, 'complete']);
    expect(JSON.parse(answer.body.toString()).errors[0].code).toBe('BLOB_UNKNOWN');
    for (const name of ['content-range', 'etag', 'accept-ranges', 'docker-content-digest']) {
      expect([name, answer.headers.has(name)]).toEqual([name, false]);
    }
    await hub.readers[0]?.closed;
  });
});

describe('HEAD blob', () => {
  it('asks for nothing but the size, and ignores Range', async () => {
    const { url, hub } = await served();
    const answer = await head(url, path, { headers: { Range: 'bytes=0-1' } });
    expect([answer.status, answer.bytes, answer.surplusBytes]).toEqual([200, 0, 0]);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-length': '1000',
      'content-type': 'application/octet-stream',
      'accept-ranges': 'bytes',
      'docker-content-digest': digest,
      etag: `"${digest}"`,
    });
    expect(hub.asked.map(one => one.method)).toEqual(['stat']);
  });

  it('leaves the length out when it is unknown', async () => {
    const { url, hub } = await served();
    hub.statAnswer = { size: undefined };
    const answer = await head(url, path);
    expect([answer.status, answer.headers.has('content-length')]).toEqual([200, false]);
  });

  it('of an unknown blob is 404 without a body', async () => {
    const { url } = await serveApp();
    const answer = await head(url, path);
    expect([answer.status, answer.bytes, answer.surplusBytes]).toEqual([404, 0, 0]);
  });
});

it.each([
  [
    'bytes=0-1,5-6',
    [
      [0, 2],
      [5, 7],
    ],
  ],
  [
    'bytes=900-,10-19,-1',
    [
      [900, 1000],
      [10, 20],
      [999, 1000],
    ],
  ],
  [
    'bytes=0-0,5000-6000,3-3',
    [
      [0, 1],
      [3, 4],
    ],
  ],
])('Range %s gets its satisfiable parts, in order', async (range, spans) => {
  const { url } = await served();
  const answer = await get(url, path, { headers: { Range: range } });
  expect(answer.status).toBe(206);
  expect(answer.headers.get('content-length')).toBe(String(answer.bytes));
  expect(answer.headers.has('content-range')).toBe(false);
  const boundary = /^multipart\/byteranges; boundary=(\w+)$/.exec(
    answer.headers.get('content-type') ?? '',
  )?.[1];
  const parts = spans.map(([start = 0, end = 0]) =>
    Buffer.concat([
      Buffer.from(`--${boundary}\r\nContent-Type: application/octet-stream\r\n`),
      Buffer.from(`Content-Range: bytes ${start}-${end - 1}/1000\r\n\r\n`),
      bytes.subarray(start, end),
      Buffer.from('\r\n'),
    ]),
  );
  expect(answer.body.equals(Buffer.concat([...parts, Buffer.from(`--${boundary}--\r\n`)]))).toBe(true);
});
