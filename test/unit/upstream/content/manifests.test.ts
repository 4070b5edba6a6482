/** Manifests: what a HEAD is good for, what is verified, what is set aside. */
import type { ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { digestOf, parseDigest } from '../../../../src/oci/digest.ts';
import { dockerSchema1Signed, manifestAccept, ociManifest } from '../../../../src/oci/media-type.ts';
import type { Reference } from '../../../../src/oci/name.ts';
import {
  alpine,
  connect,
  failureOf,
  type Handler,
  latest,
  manifestBytes,
  manifestDigest,
  read,
  sendJson,
  sendManifest,
  serve,
} from '../rig.ts';

const head = 'HEAD /v2/library/alpine/manifests/latest';
const get = 'GET /v2/library/alpine/manifests/latest';
const descriptor = { mediaType: ociManifest, digest: manifestDigest, size: manifestBytes.length };
const large = 4 * 1024 * 1024 + 1;

function send(response: ServerResponse, bytes: Buffer, headers: Record<string, string> = {}): void {
  response.writeHead(200, { 'content-length': bytes.length, ...headers });
  response.end(response.req.method === 'HEAD' ? undefined : bytes);
}

test('a tag is resolved by one HEAD with the one Accept', async () => {
  const server = await serve(sendManifest);
  const { registry, clock } = connect(server.url);
  expect(await registry.resolve(alpine, latest, read)).toEqual({
    outcome: 'passthrough',
    checkedAt: clock.now(),
    descriptor,
  });
  expect(server.lines).toEqual([head]);
  expect(server.seen[0]?.headers.accept).toBe(manifestAccept);
});

test('a manifest comes as it was sent, with the type it was sent with', async () => {
  const bytes = Buffer.from(`  ${manifestBytes.toString()}\n`);
  const server = await serve((_request, response) =>
    send(response, bytes, {
      'content-type': `${ociManifest}; charset=utf-8`,
      'docker-content-digest': digestOf(bytes),
    }),
  );
  const answer = await connect(server.url).registry.manifest(alpine, latest, read);
  expect(answer.bytes).toEqual(bytes);
  expect(answer.descriptor).toEqual({ mediaType: ociManifest, digest: digestOf(bytes), size: bytes.length });
  expect(server.lines).toEqual([get]);
});

test.each<[string, Handler]>([
  [
    'no Docker-Content-Digest',
    (_request, response) => send(response, manifestBytes, { 'content-type': ociManifest }),
  ],
  [
    'no Content-Length',
    (request, response) => {
      response.writeHead(200, { 'content-type': ociManifest, 'docker-content-digest': manifestDigest });
      response.end(request.method === 'HEAD' ? undefined : manifestBytes);
    },
  ],
  [
    'a Content-Length of 0',
    (request, response) => {
      if (request.method === 'GET') return sendManifest(request, response);
      response.writeHead(200, {
        'content-type': ociManifest,
        'content-length': 0,
        'docker-content-digest': manifestDigest,
      });
      return response.end();
    },
  ],
  [
    'a type that says nothing',
    (_request, response) =>
      send(response, manifestBytes, {
        'content-type': 'application/json',
        'docker-content-digest': manifestDigest,
      }),
  ],
  ...[400, 401, 403, 404, 405, 406, 500, 501, 503].map((status): [string, Handler] => [
    String(status),
    (request, response) => {
      if (request.method === 'HEAD') sendJson(response, {}, status);
      else sendManifest(request, response);
    },
  ]),
])('HEAD with %s is followed by GET', async (_name, handler) => {
  const server = await serve(handler);
  expect((await connect(server.url).registry.resolve(alpine, latest, read)).descriptor).toEqual(descriptor);
  expect(server.lines).toEqual([head, get]);
});

test('by digest, HEAD needs no digest header; one that differs is not believed', async () => {
  const headers: Record<string, string>[] = [
    {},
    { 'docker-content-digest': digestOf(Buffer.from('other')) },
    {},
  ];
  const server = await serve((_request, response, count) =>
    send(response, manifestBytes, { 'content-type': ociManifest, ...headers[count] }),
  );
  const { registry } = connect(server.url);
  for (let at = 0; at < 2; at += 1) {
    expect((await registry.resolve(alpine, manifestDigest, read)).descriptor).toEqual(descriptor);
  }
  expect(server.lines.map(line => line.split(' ')[0])).toEqual(['HEAD', 'HEAD', 'GET']);
});

test.each<[string, Reference, Record<string, string>]>([
  ['the digest asked for', manifestDigest, {}],
  ['the header', latest, { 'docker-content-digest': manifestDigest }],
])('bytes that are not what %s says get one more try', async (_name, reference, headers) => {
  const wrong = Buffer.from(manifestBytes.toString().replace('2', '3'));
  const bodies = [wrong, manifestBytes, wrong, wrong, manifestBytes];
  const server = await serve((_request, response, count) =>
    send(response, bodies[count] ?? wrong, { 'content-type': ociManifest, ...headers }),
  );
  const { registry, recorder } = connect(server.url);
  expect((await registry.manifest(alpine, reference, read)).bytes).toEqual(manifestBytes);
  expect(recorder.of('digestMismatch')).toHaveLength(1);
  expect(await failureOf(registry.manifest(alpine, reference, read))).toMatchObject({
    failure: 'mismatch',
    code: 'UNAVAILABLE',
    message: `library/alpine${reference === latest ? ':' : '@'}${reference} came with wrong bytes, of digest ${digestOf(wrong)}`,
  });
  expect(recorder.of('digestMismatch')).toEqual(Array(3).fill('digestMismatch up'));
  // wrong bytes are not remembered: the next request gets the right ones
  expect((await registry.manifest(alpine, reference, read)).bytes).toEqual(manifestBytes);
  expect(server.seen).toHaveLength(5);
});

test('sha512 is verified as sha512', async () => {
  const digest = digestOf(manifestBytes, 'sha512');
  const server = await serve((_request, response) =>
    send(response, manifestBytes, { 'content-type': ociManifest }),
  );
  const { registry } = connect(server.url);
  expect((await registry.manifest(alpine, digest, read)).descriptor.digest).toBe(digest);
  const other = parseDigest(`sha512:${'0'.repeat(128)}`);
  expect(await failureOf(registry.manifest(alpine, other, read))).toMatchObject({ failure: 'mismatch' });
});

test('without a digest header the digest is computed', async () => {
  const server = await serve((_request, response) =>
    send(response, manifestBytes, { 'content-type': ociManifest, 'docker-content-digest': 'md5:1234' }),
  );
  expect((await connect(server.url).registry.manifest(alpine, latest, read)).descriptor).toEqual(descriptor);
});

test('a page that some portal sent instead is no manifest', async () => {
  const server = await serve((_request, response) =>
    send(response, Buffer.from('<html>'), { 'content-type': 'text/html' }),
  );
  const { registry, recorder } = connect(server.url);
  expect(await failureOf(registry.resolve(alpine, latest, read))).toMatchObject({
    failure: 'mismatch',
    code: 'UNAVAILABLE',
  });
  expect(server.lines).toEqual([head, get, get]);
  expect(recorder.of('digestMismatch')).toEqual([]);
});

test('a body that breaks off gets one more try', async () => {
  const server = await serve((request, response, count) => {
    if (count === 0) {
      response.writeHead(200, { 'content-type': ociManifest, 'content-length': manifestBytes.length });
      response.write(manifestBytes.subarray(0, 5), () => response.destroy());
    } else sendManifest(request, response);
  });
  expect((await connect(server.url).registry.manifest(alpine, latest, read)).bytes).toEqual(manifestBytes);
  expect(server.lines).toEqual([get, get]);
});

test.each<[string, Handler, string[]]>([
  [
    'over 4 MiB by its length',
    (request, response) => {
      response.writeHead(200, {
        'content-type': ociManifest,
        'content-length': large,
        'docker-content-digest': manifestDigest,
      });
      response.end(request.method === 'HEAD' ? undefined : Buffer.alloc(large));
    },
    [head],
  ],
  [
    'over 4 MiB without a length',
    (request, response) => {
      response.writeHead(200, { 'content-type': ociManifest });
      response.end(request.method === 'HEAD' ? undefined : Buffer.alloc(large));
    },
    [head, get],
  ],
  [
    'of schema 1',
    (_request, response) =>
      send(response, manifestBytes, {
        'content-type': dockerSchema1Signed,
        'docker-content-digest': manifestDigest,
      }),
    [head],
  ],
])('a manifest %s is answered as absent, and the log says why', async (_name, handler, lines) => {
  const server = await serve(handler);
  const { registry, recorder } = connect(server.url);
  const gone = { failure: 'gone', code: 'MANIFEST_UNKNOWN' };
  expect(await failureOf(registry.resolve(alpine, latest, read))).toMatchObject(gone);
  expect(server.lines).toEqual(lines);
  expect(await failureOf(registry.manifest(alpine, latest, read))).toMatchObject(gone);
  expect(recorder.logged).toHaveLength(2);
  expect(recorder.logged[0]).toMatch(/^warn manifest cannot be mirrored \{.*"why":"it is/);
});

test.each([
  [404, 'gone', 'MANIFEST_UNKNOWN'],
  [401, 'denied', 'MANIFEST_UNKNOWN'],
  [403, 'denied', 'MANIFEST_UNKNOWN'],
  [429, 'limited', 'UNAVAILABLE'],
  [400, 'status', 'UNAVAILABLE'],
  [500, 'status', 'UNAVAILABLE'],
])('%i becomes %s', async (status, failure, code) => {
  const server = await serve((_request, response) => sendJson(response, {}, status));
  const { registry } = connect(server.url);
  expect(await failureOf(registry.manifest(alpine, latest, read))).toMatchObject({
    failure,
    code,
    upstreamStatus: status,
  });
  expect(server.lines).toEqual([get]);
});

test('a manifest that comes compressed although identity was asked is decoded, its HEAD followed by a GET', async () => {
  const server = await serve((request, response) => {
    const zipped = gzipSync(manifestBytes);
    const headers = { 'content-encoding': 'gzip', 'content-length': zipped.length };
    response.writeHead(200, {
      'content-type': ociManifest,
      'docker-content-digest': manifestDigest,
      ...headers,
    });
    response.end(request.method === 'HEAD' ? undefined : zipped);
  });
  const { registry } = connect(server.url);
  const { descriptor } = await registry.resolve(alpine, latest, read);
  expect(descriptor).toMatchObject({ digest: manifestDigest, size: manifestBytes.length });
  expect((await registry.manifest(alpine, manifestDigest, read)).bytes).toEqual(manifestBytes);
});

test('one in an encoding that is not known fails with a message that says so', async () => {
  const server = await serve((request, response) =>
    sendManifest(request, response, {
      'content-encoding': 'zstd',
      'docker-content-digest': digestOf(Buffer.from('other')),
    }),
  );
  const failure = await failureOf(connect(server.url).registry.manifest(alpine, latest, read));
  expect(failure).toMatchObject({
    failure: 'mismatch',
    message: expect.stringContaining('compressed (zstd) although that was not asked for'),
  });
});
