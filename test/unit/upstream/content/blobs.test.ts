/** Blobs: existence without a download, ranges held to what the headers promise, bodies held to their length. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import type { ByteRange } from '../../../../src/oci/range.ts';
import type { BlobReader } from '../../../../src/registry/registry.ts';
import {
  alpine,
  blobBytes,
  blobDigest,
  collect,
  connect,
  failureOf,
  never,
  read,
  sendBlob,
  sendJson,
  serve,
} from '../rig.ts';

const path = `/v2/library/alpine/blobs/${blobDigest}`;

async function readAll(reader: BlobReader, start: number): Promise<Buffer> {
  const into = Buffer.alloc(64);
  const parts: Buffer[] = [];
  for (let at = start; ; ) {
    const count = await reader.read(into, at);
    if (count === 0) return Buffer.concat(parts);
    parts.push(Buffer.from(into.subarray(0, count)));
    at += count;
  }
}

test('stat is one HEAD with the size', async () => {
  const server = await serve(sendBlob);
  expect(await connect(server.url).registry.stat(alpine, blobDigest, read)).toMatchObject({ size: 1000 });
  expect(server.lines).toEqual([`HEAD ${path}`]);
});

test('a redirect to a store proves the blob and is not followed', async () => {
  const store = await serve(sendBlob);
  const server = await serve((_request, response) => {
    response.writeHead(307, { location: `${store.url}/signed` }).end();
  });
  const asked = { ...read, existenceOnly: true };
  expect(await connect(server.url).registry.stat(alpine, blobDigest, asked)).toMatchObject({
    size: undefined,
  });
  expect(store.connections).toBe(0);
});

test.each([
  ['answers a HEAD', [200], 1000, ['HEAD /signed']],
  ['refuses a HEAD', [403, 206], 1000, ['HEAD /signed', 'GET /signed']],
  ['knows no ranges', [403, 200], 1000, ['HEAD /signed', 'GET /signed']],
  ['refuses everything', [403, 403], undefined, ['HEAD /signed', 'GET /signed']],
])('the size is the store’s to say: one that %s', async (_name, statuses, size, lines) => {
  const store = await serve((request, response, count) => {
    const status = statuses[count] ?? 500;
    if (status === 206) sendBlob(request, response);
    else if (status !== 200) sendJson(response, {}, status);
    else response.setHeader('content-length', 1000).end(request.method === 'HEAD' ? undefined : blobBytes);
  });
  const server = await serve((_request, response) => {
    response.writeHead(307, { location: `${store.url}/signed` }).end();
  });
  expect(await connect(server.url).registry.stat(alpine, blobDigest, read)).toMatchObject({ size });
  expect(store.lines).toEqual(lines);
  expect(store.seen[1]?.headers.range).toBe(lines.length > 1 ? 'bytes=0-0' : undefined);
  expect(server.lines).toEqual([`HEAD ${path}`, `GET ${path}`].slice(0, lines.length));
});

test('a store that has no such blob, neither by HEAD nor by GET: it is gone', async () => {
  const store = await serve((_request, response) => sendJson(response, {}, 404));
  const server = await serve((_request, response) => {
    response.writeHead(307, { location: `${store.url}/signed` }).end();
  });
  const failure = failureOf(connect(server.url).registry.stat(alpine, blobDigest, read));
  expect(await failure).toMatchObject({ failure: 'gone', code: 'BLOB_UNKNOWN' });
});

test('a redirect to another registry proves nothing and is followed', async () => {
  let status = 200;
  const other = await serve((request, response) => {
    if (status === 200) sendBlob(request, response);
    else sendJson(response, {}, status);
  });
  const server = await serve((request, response) => {
    response
      .writeHead(307, { location: `${other.url}/v2/k8s/images/blobs/${request.url?.split('/').at(-1)}` })
      .end();
  });
  const { registry } = connect(server.url);
  expect(await registry.stat(alpine, blobDigest, read)).toMatchObject({ size: 1000 });
  status = 404;
  expect(await failureOf(registry.stat(alpine, blobDigest, read))).toMatchObject({
    failure: 'gone',
    code: 'BLOB_UNKNOWN',
  });
  expect(other.lines).toEqual(Array(2).fill(`HEAD /v2/k8s/images/blobs/${blobDigest}`));
});

test.each([404, 401, 429, 500])('%i for a blob is 404 for the client', async status => {
  const server = await serve((_request, response) => sendJson(response, {}, status));
  const { registry } = connect(server.url);
  const failure = await failureOf(registry.stat(alpine, blobDigest, read));
  expect(failure).toMatchObject({ code: 'BLOB_UNKNOWN', upstreamStatus: status });
});

function answering(status: number, headers: Record<string, string | number>, body: Buffer) {
  return (_request: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(status, headers).end(body);
  };
}

test.each([
  ['a 200: from the start', 200, { 'content-length': 1000 }, { start: 0, size: 1000 }],
  ['a 200 of unknown length', 200, {}, { start: 0, size: undefined }],
  ['a 206 from there', 206, { 'content-range': 'bytes 400-999/1000' }, { start: 400, size: 1000 }],
  ['a 206 that hides the size', 206, { 'content-range': 'bytes 400-999/*' }, { start: 400, size: undefined }],
])('the answer to a range is told as it is: %s', async (_name, status, headers, expected) => {
  const server = await serve(answering(status, headers, blobBytes.subarray(expected.start)));
  const { registry, recorder } = connect(server.url);
  const opened = await registry.blobSource(alpine, blobDigest).open(400, { signal: never });
  expect({ start: opened.start, size: opened.size }).toEqual(expected);
  expect(await collect(opened.stream)).toEqual(blobBytes.subarray(expected.start));
  expect(server.seen[0]?.headers.range).toBe('bytes=400-');
  const counted = recorder.of('upstreamBytes').reduce((sum, event) => sum + Number(event.split(' ')[2]), 0);
  expect(counted).toBe(1000 - expected.start);
});

test.each([
  ['another start', { 'content-range': 'bytes 300-999/1000' }],
  ['an end after the one asked for', { 'content-range': 'bytes 400-600/1000' }],
  ['no Content-Range', {}],
  ['a Content-Range that is none', { 'content-range': 'bytes 400-399/1000' }],
  ['a length that contradicts it', { 'content-range': 'bytes 400-499/1000', 'content-length': '50' }],
])('a 206 with %s is refused', async (_name, headers) => {
  const server = await serve(answering(206, headers, blobBytes.subarray(0, 50)));
  const { registry } = connect(server.url);
  const failure = failureOf(registry.blobSource(alpine, blobDigest).open(400, { signal: never, end: 500 }));
  expect(await failure).toMatchObject({ failure: 'range', code: 'BLOB_UNKNOWN' });
});

test('a 206 without a range in the request is good only if it is the whole', async () => {
  const ranges = ['bytes 0-999/1000', 'bytes 0-499/1000'];
  const server = await serve((_request, response, count) => {
    response.writeHead(206, { 'content-range': ranges[count] }).end(blobBytes);
  });
  const { registry } = connect(server.url);
  const source = registry.blobSource(alpine, blobDigest);
  expect(await collect((await source.open(0, { signal: never })).stream)).toEqual(blobBytes);
  expect(await failureOf(source.open(0, { signal: never }))).toMatchObject({ failure: 'range' });
});

test('416 is a failure of its own', async () => {
  const server = await serve(answering(416, { 'content-range': 'bytes */1000' }, Buffer.alloc(0)));
  const { registry } = connect(server.url);
  expect(
    await failureOf(registry.blobSource(alpine, blobDigest).open(1000, { signal: never })),
  ).toMatchObject({
    failure: 'range',
    upstreamStatus: 416,
  });
});

test.each([
  ['cut', { 'content-length': 1000 }, 500, 'destroy'],
  ['cut without a length', {}, 500, 'destroy'],
  ['shorter than its Content-Range', { 'content-range': 'bytes 0-999/1000' }, 500, 'end'],
  ['longer than its Content-Range', { 'content-range': 'bytes 0-999/1000' }, 1001, 'end'],
] as const)('a body that is %s is an error after its bytes', async (_name, headers, count, how) => {
  const body = Buffer.alloc(count);
  const server = await serve((_request, response) => {
    response.writeHead('content-range' in headers ? 206 : 200, headers);
    response.write(body, () => (how === 'end' ? response.end() : response.destroy()));
  });
  const { registry } = connect(server.url);
  const opened = await registry.blobSource(alpine, blobDigest).open(0, { signal: never });
  expect(await failureOf(collect(opened.stream))).toMatchObject({
    failure: 'unreachable',
    code: 'BLOB_UNKNOWN',
  });
});

test('the deadline ends with the headers; the body goes on until the caller aborts', async () => {
  const responses: ServerResponse[] = [];
  const server = await serve((_request, response) => {
    responses.push(response);
    response.writeHead(200, { 'content-length': 1000 }).write(blobBytes.subarray(0, 10));
  });
  const { registry, clock } = connect(server.url);
  const leaving = new AbortController();
  const opened = await registry.blobSource(alpine, blobDigest).open(0, { signal: leaving.signal });
  const chunks = opened.stream[Symbol.asyncIterator]();
  expect((await chunks.next()).value).toHaveLength(10);
  clock.advance(3_600_000);
  responses[0]?.write(blobBytes.subarray(10, 20));
  expect((await chunks.next()).value).toHaveLength(10);
  const closed = new Promise(resolve => responses[0]?.on('close', resolve));
  leaving.abort(new Error('left'));
  await expect(chunks.next()).rejects.toThrow('left');
  await closed;
});

test('leaving the stream early ends the transfer', async () => {
  const closed: Promise<unknown>[] = [];
  const server = await serve((_request, response) => {
    closed.push(new Promise(resolve => response.on('close', resolve)));
    response.writeHead(200, { 'content-length': 1000 }).write(blobBytes.subarray(0, 10));
  });
  const opened = await connect(server.url).registry.blobSource(alpine, blobDigest).open(0, { signal: never });
  for await (const chunk of opened.stream) {
    expect(chunk).toHaveLength(10);
    break;
  }
  await Promise.all(closed);
});

const cases: [string, ByteRange | undefined, number, number][] = [
  ['the whole', undefined, 0, 1000],
  ['from an offset', { first: 990 }, 990, 1000],
  ['a closed range', { first: 5, last: 9 }, 5, 10],
  ['a range over the end', { first: 995, last: 5000 }, 995, 1000],
  ['a suffix', { suffix: 7 }, 993, 1000],
];

/** As a real registry: any single range, end and suffix cut to the size. */
function sendRange(request: IncomingMessage, response: ServerResponse): void {
  const [, first, last, suffix] = /^bytes=(?:(\d+)-(\d*)|-(\d+))$/.exec(request.headers.range ?? '') ?? [];
  if (first === undefined && suffix === undefined) {
    sendBlob(request, response);
    return;
  }
  const start = suffix === undefined ? Number(first) : Math.max(0, 1000 - Number(suffix));
  const end = last ? Math.min(Number(last) + 1, 1000) : 1000;
  response.writeHead(206, { 'content-range': `bytes ${start}-${end - 1}/1000` });
  response.end(blobBytes.subarray(start, end));
}

test.each(cases)(
  'a reader gives %s, from sources with and without ranges',
  async (_name, range, start, end) => {
    for (const handler of [sendRange, answering(200, { 'content-length': 1000 }, blobBytes)]) {
      const server = await serve(handler);
      const answer = await connect(server.url).registry.blob(alpine, blobDigest, range, read);
      expect(answer).toMatchObject({ size: 1000, start, end, partial: range !== undefined });
      expect(await readAll(answer.reader, start)).toEqual(blobBytes.subarray(start, end));
      await answer.reader.close();
      expect(server.lines).toEqual([`GET ${path}`]);
    }
  },
);

test('a range of a blob whose length is hidden gives the whole', async () => {
  const server = await serve(answering(200, {}, blobBytes));
  const answer = await connect(server.url).registry.blob(alpine, blobDigest, { suffix: 7 }, read);
  expect(answer).toMatchObject({ size: undefined, start: 0, end: undefined, partial: false });
  expect(await readAll(answer.reader, 0)).toEqual(blobBytes);
});

test('an unsatisfiable range is RANGE_INVALID with the size, from sources with and without ranges', async () => {
  const refusing = answering(416, { 'content-range': 'bytes */1000' }, Buffer.alloc(0));
  for (const handler of [refusing, answering(200, { 'content-length': 1000 }, blobBytes)]) {
    const server = await serve(handler);
    const asked = connect(server.url).registry.blob(alpine, blobDigest, { first: 1000 }, read);
    await expect(asked).rejects.toMatchObject({ code: 'RANGE_INVALID', status: 416, detail: { size: 1000 } });
  }
});

test('reads go forward, skip what is not wanted, and end with the reader', async () => {
  const server = await serve((_request, response) => {
    response.writeHead(200, { 'content-length': 1000 }).write(blobBytes.subarray(0, 100));
  });
  const { reader } = await connect(server.url).registry.blob(alpine, blobDigest, undefined, read);
  const into = Buffer.alloc(4);
  expect(await reader.read(into, 0)).toBe(4);
  expect(await reader.read(into, 50)).toBe(4);
  expect(into).toEqual(blobBytes.subarray(50, 54));
  await expect(reader.read(into, 10)).rejects.toThrow('reads go forward: 10 is before 54');
  const waiting = reader.read(into, 100);
  await reader.close();
  await expect(waiting).rejects.toThrow('closed');
  await reader.close();
  await expect(reader.read(into, 100)).rejects.toThrow('closed');
});

const zipped = gzipSync(blobBytes);
const asGzip = { 'content-encoding': 'gzip' };

async function read1000(server: { readonly url: string }, size: number | undefined): Promise<Buffer> {
  const options = { signal: never, ...(size === undefined ? {} : { expectedSize: size }) };
  const opened = await connect(server.url).registry.blobSource(alpine, blobDigest).open(0, options);
  return collect(opened.stream);
}

test('a blob that comes compressed although identity was asked is decoded', async () => {
  const chunked = await serve(answering(200, asGzip, zipped));
  expect(await read1000(chunked, 1000)).toEqual(blobBytes);
  const sized = await serve(answering(200, { ...asGzip, 'content-length': zipped.length }, zipped));
  expect(await read1000(sized, 1000)).toEqual(blobBytes);
  const brotli = await serve(answering(200, { 'content-encoding': 'br' }, brotliCompressSync(blobBytes)));
  expect(await read1000(brotli, 1000)).toEqual(blobBytes);
});

test('a blob of the right length is taken as it is, whatever the answer calls it', async () => {
  const server = await serve(answering(200, { ...asGzip, 'content-length': zipped.length }, zipped));
  expect(await read1000(server, zipped.length)).toEqual(zipped);
  expect(await read1000(server, undefined)).toEqual(zipped);
});

test.each([
  ['an encoding that is not known', 200, { 'content-encoding': 'zstd' }, 'mismatch'],
  ['a range of the compressed form', 206, { ...asGzip, 'content-range': 'bytes 0-9/99' }, 'range'],
])('%s is an error that says so', async (_name, status, headers, failure) => {
  const server = await serve(answering(status, headers, Buffer.alloc(10)));
  const source = connect(server.url).registry.blobSource(alpine, blobDigest);
  const failed = await failureOf(source.open(0, { signal: never, end: 10, expectedSize: 1000 }));
  expect(failed).toMatchObject({
    failure,
    message: expect.stringContaining('although that was not asked for'),
  });
});

test('bytes that are no gzip, and the compressed length in a HEAD', async () => {
  const server = await serve((request, response) => {
    response.writeHead(200, { ...asGzip, 'content-length': 10 });
    response.end(request.method === 'HEAD' ? undefined : Buffer.alloc(10));
  });
  await expect(read1000(server, 1000)).rejects.toMatchObject({ failure: 'unreachable' });
  expect(await connect(server.url).registry.stat(alpine, blobDigest, read)).toMatchObject({
    size: undefined,
  });
});
