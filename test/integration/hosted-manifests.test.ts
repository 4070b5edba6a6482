/** Manifests of hosted repositories over HTTP: the table of checks in docs/registry.md row by row, bad input, lists and deletes. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { type Digest, digestOf, hexOf } from '../../src/oci/digest.ts';
import { ociIndex, ociManifest } from '../../src/oci/media-type.ts';
import { type CallOptions, type CallResult, get, head } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { type BuiltImage, buildArtifact, buildImage, buildIndex } from '../support/images.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { pushBlob } from '../support/upload-client.ts';

const rules = [{ repositories: ['team/**'], users: ['anonymous'], actions: ['pull', 'push', 'delete'] }];
const hosted = { repositories: ['team/**'], immutable: ['team/**:v*'] };
const image = buildImage();
const index = buildIndex();

let mirror: TestMirror;

beforeEach(async () => {
  mirror = await startTestMirror({ config: { upstreams: {}, hosted, access: { rules } } });
});

type Pushed = Pick<BuiltImage, 'bytes' | 'mediaType'>;

function put(
  reference: string,
  { bytes, mediaType }: Pushed,
  { name = 'team/app', ...options }: CallOptions & { readonly name?: string } = {},
): Promise<CallResult> {
  const headers = { 'Content-Type': mediaType };
  const path = `/v2/${name}/manifests/${reference}`;
  return get(mirror.url, path, { method: 'PUT', headers, body: bytes, ...options });
}

async function pushBlobs(pushed: BuiltImage, name = 'team/app'): Promise<void> {
  for (const { content } of pushed.blobs) await pushBlob(mirror.url, name, content);
}

function pull(reference: string, name = 'team/app'): Promise<CallResult> {
  return get(mirror.url, `/v2/${name}/manifests/${reference}`);
}

function remove(path: string): Promise<CallResult> {
  return get(mirror.url, `/v2/team/app/${path}`, { method: 'DELETE' });
}

function firstError({ body }: CallResult) {
  return JSON.parse(body.toString()).errors[0];
}

/** The manifest with further or other fields. */
function altered(built: Pushed, fields: object, mediaType = built.mediaType): Pushed {
  return {
    bytes: Buffer.from(JSON.stringify({ ...JSON.parse(built.bytes.toString()), ...fields })),
    mediaType,
  };
}

const layer = image.layers[0]?.descriptor;

describe('a manifest', () => {
  test('is 201 with its names, and is served byte for byte by its tags and its digest, at once and after a restart', async () => {
    await pushBlobs(image);
    const answer = await put(`${image.digest}?tag=1&tag=1.2`, image);
    expect(answer.status).toBe(201);
    expect(answer.headers.get('location')).toBe(`/v2/team/app/manifests/${image.digest}`);
    expect(answer.headers.get('docker-content-digest')).toBe(image.digest);
    expect(answer.headers.get('oci-tag')).toMatch(/1.*1\.2/s);
    expect([answer.bytes, answer.headers.get('oci-subject')]).toEqual([0, undefined]);
    expect((await put('latest', image)).status).toBe(201);
    for (const restart of [false, true]) {
      if (restart) await mirror.close();
      if (restart)
        mirror = await startTestMirror({
          storePath: mirror.storePath,
          config: { upstreams: {}, hosted, access: { rules } },
        });
      for (const reference of ['latest', '1', '1.2', image.digest]) {
        const pulled = await pull(reference);
        expect([pulled.status, pulled.body, pulled.headers.get('content-type')]).toEqual([
          200,
          image.bytes,
          image.mediaType,
        ]);
      }
    }
    expect(await mirror.metric('cistern_upstream_requests_total')).toBe(0);
  });

  test.each<[string, string, Pushed, number, string]>([
    ['a bad tag', '-x', image, 400, 'TAG_INVALID'],
    ['a bad digest', 'sha256:12', image, 400, 'DIGEST_INVALID'],
    ['a bad further tag', 'x?tag=a%2Fb', image, 400, 'TAG_INVALID'],
    ['101 further tags', `x?${'tag=a&'.repeat(101)}`, image, 400, 'TAG_INVALID'],
    [
      'one byte more than 4 MiB',
      'x',
      { bytes: Buffer.alloc(4_194_305, ' '), mediaType: ociManifest },
      413,
      'MANIFEST_INVALID',
    ],
    ['another digest', index.digest, image, 400, 'DIGEST_INVALID'],
    ['no JSON', 'x', { bytes: Buffer.from('{"a":'), mediaType: ociManifest }, 400, 'MANIFEST_INVALID'],
    ['nothing', 'x', { bytes: Buffer.alloc(0), mediaType: ociManifest }, 400, 'MANIFEST_INVALID'],
    ['no object', 'x', { bytes: Buffer.from('[{}]'), mediaType: ociManifest }, 400, 'MANIFEST_INVALID'],
    [
      '2 million open brackets',
      'x',
      { bytes: Buffer.alloc(2_000_000, '['), mediaType: ociManifest },
      400,
      'MANIFEST_INVALID',
    ],
    [
      'an annotation 500,000 levels deep',
      'x',
      {
        bytes: Buffer.from(`{"annotations":${'{"a":'.repeat(500_000)}1${'}'.repeat(500_000)}}`),
        mediaType: ociManifest,
      },
      400,
      'MANIFEST_INVALID',
    ],
    ['schema 1', 'x', altered(image, { schemaVersion: 1, fsLayers: [] }), 400, 'MANIFEST_INVALID'],
    ['another mediaType than Content-Type', 'x', altered(image, {}, ociIndex), 400, 'MANIFEST_INVALID'],
    ['a mediaType that is no text', 'x', altered(image, { mediaType: 7 }), 400, 'MANIFEST_INVALID'],
    ['1,001 descriptors', 'x', altered(image, { layers: Array(1000).fill(layer) }), 400, 'MANIFEST_INVALID'],
    [
      '10,001 children',
      'x',
      altered(index, { manifests: Array(10_001).fill({ digest: image.digest }) }),
      400,
      'MANIFEST_INVALID',
    ],
    [
      '100,000 layers',
      'x',
      {
        bytes: Buffer.from(`{"schemaVersion":2,"config":{},"layers":[${Array(100_000).fill('{}')}]}`),
        mediaType: ociManifest,
      },
      400,
      'MANIFEST_INVALID',
    ],
    ['no config', 'x', altered(image, { config: undefined }), 400, 'MANIFEST_INVALID'],
    [
      'a layer without a digest',
      'x',
      altered(image, { layers: [{ ...layer, digest: 'x' }] }),
      400,
      'MANIFEST_INVALID',
    ],
    [
      'a layer of half a byte',
      'x',
      altered(image, { layers: [{ ...layer, size: 0.5 }] }),
      400,
      'MANIFEST_INVALID',
    ],
    [
      'a layer under blake3',
      'x',
      altered(image, { layers: [{ ...layer, digest: `blake3:${'a'.repeat(64)}` }] }),
      400,
      'MANIFEST_INVALID',
    ],
    [
      'a subject without a size',
      'x',
      altered(image, { subject: { digest: image.digest } }),
      400,
      'MANIFEST_INVALID',
    ],
    [
      'another size than the blob has',
      'x',
      altered(image, { layers: [{ ...layer, size: 1 }] }),
      400,
      'MANIFEST_INVALID',
    ],
    [
      'a prototype for a field',
      'x',
      { bytes: Buffer.from('{"__proto__":{"config":{}}}'), mediaType: ociManifest },
      400,
      'MANIFEST_INVALID',
    ],
  ])('with %s is refused, and the tag stays as it was', async (_what, reference, pushed, status, code) => {
    await pushBlobs(image);
    await put('x', image);
    const answer = await put(reference, pushed);
    expect([answer.status, firstError(answer).code]).toEqual([status, code]);
    expect((await pull('x')).body).toEqual(image.bytes);
    expect(mirror.log.filter(({ level }) => level === 'error')).toEqual([]);
  });

  test.each(['team/App', 'team//app', 'team/..', 'team%2Fapp', 'team/_x', 'team/%2e%2e/x'])(
    'of the name %s is NAME_INVALID',
    async name => {
      const answer = await put('x', image, { name });
      expect([answer.status, firstError(answer).code]).toEqual([400, 'NAME_INVALID']);
    },
  );

  test('whose blobs miss is MANIFEST_BLOB_UNKNOWN with all that miss; one that is damaged misses too', async () => {
    await pushBlobs(image);
    const damaged = image.layers[1]?.descriptor.digest ?? image.digest;
    const hex = hexOf(damaged);
    await writeFile(join(mirror.storePath, 'blobs-v1/sha256', hex.slice(0, 2), hex), 'short');
    const other = patternBlob('other', 10);
    const missing = { mediaType: 'a/b', digest: other.digest, size: 10 };
    const answer = await put(
      'x',
      altered(image, { layers: [...image.layers.map(({ descriptor }) => descriptor), missing, missing] }),
    );
    expect([answer.status, firstError(answer)]).toEqual([
      400,
      expect.objectContaining({
        code: 'MANIFEST_BLOB_UNKNOWN',
        detail: { digests: [damaged, other.digest] },
      }),
    ]);
    expect((await head(mirror.url, `/v2/team/app/blobs/${damaged}`)).status).toBe(404);
    await pushBlobs(image);
    expect((await head(mirror.url, `/v2/team/app/blobs/${damaged}`)).status).toBe(200);
    expect((await put('x', image)).status).toBe(201);
  });

  test('an immutable tag takes the same digest again, and no other: 409', async () => {
    const next = buildImage({ layers: ['layer next'] });
    await pushBlobs(image);
    await pushBlobs(next);
    for (const status of [201, 201]) expect((await put('v1', image)).status).toBe(status);
    const answer = await put('latest?tag=v1', next);
    expect([answer.status, firstError(answer).code]).toEqual([409, 'DENIED']);
    expect((await pull('latest')).status).toBe(404); // all of it or nothing
    expect((await pull('v1')).body).toEqual(image.bytes);
  });

  test('of unknown type and shape is kept byte for byte, with its subject', async () => {
    const bytes = Buffer.from(`{ "odd" : [1, null], "subject": ${JSON.stringify(image.descriptor)} }\n`);
    const mediaType = 'application/vnd.example.odd+json';
    const answer = await put('odd', { bytes, mediaType });
    expect([answer.status, answer.headers.get('oci-subject')]).toEqual([201, image.digest]);
    const pulled = await pull('odd');
    expect([pulled.body, pulled.headers.get('content-type')]).toEqual([bytes, mediaType]);
    const list = await get(mirror.url, `/v2/team/app/referrers/${image.digest}`);
    expect(JSON.parse(list.body.toString()).manifests).toEqual([
      { mediaType, digest: digestOf(bytes), size: bytes.length },
    ]);
  });

  test('without a Content-Type is what it says it is', async () => {
    await pushBlobs(image);
    expect((await put('x', image, { headers: {} })).status).toBe(201);
    expect((await pull('x')).headers.get('content-type')).toBe(image.mediaType);
  });
});

describe('two writers of one tag', () => {
  test('leave the last one and both manifests; 20 pushes side by side to one repository all succeed', async () => {
    const images = Array.from({ length: 20 }, (_, n) => buildImage({ layers: ['shared', `layer ${n}`] }));
    const pushes = images.map(async one => {
      await pushBlobs(one);
      return put('latest', one);
    });
    expect(new Set((await Promise.all(pushes)).map(({ status }) => status))).toEqual(new Set([201]));
    const { sha256 } = await pull('latest');
    expect(images.map(({ digest }) => digest)).toContain(sha256);
    for (const one of images) expect((await pull(one.digest)).body).toEqual(one.bytes);
  });
});

describe('lists', () => {
  test('tags come sorted, in pages with a Link', async () => {
    expect((await get(mirror.url, '/v2/team/app/tags/list')).status).toBe(404);
    await pushBlobs(image);
    for (const tag of ['b', 'C', 'a', 'B']) await put(tag, image);
    const page = await get(mirror.url, '/v2/team/app/tags/list?n=3');
    expect(JSON.parse(page.body.toString())).toEqual({ name: 'team/app', tags: ['a', 'B', 'b'] });
    expect(page.headers.get('link')).toBe('</v2/team/app/tags/list?n=3&last=b>; rel="next"');
    const rest = await get(mirror.url, '/v2/team/app/tags/list?n=3&last=b');
    expect([JSON.parse(rest.body.toString()).tags, rest.headers.get('link')]).toEqual([['C'], undefined]);
  });

  test('referrers come in pages of at most 4 MiB, each once, filtered', async () => {
    const note = 'x'.repeat(1_500_000);
    const bills = Array.from({ length: 5 }, (_, n) =>
      buildArtifact({ subject: image, annotations: { note, n: String(n) } }),
    );
    for (const bill of bills) {
      await pushBlobs(bill);
      await put(bill.digest, bill);
    }
    const seen: string[] = [];
    let path: string | undefined =
      `/v2/team/app/referrers/${image.digest}?artifactType=application/vnd.example.sbom`;
    for (let pages = 0; path !== undefined; pages += 1) {
      expect(pages).toBeLessThan(3);
      const page: CallResult = await get(mirror.url, path);
      expect(page.bytes).toBeLessThanOrEqual(4 * 1024 * 1024);
      expect(page.headers.get('oci-filters-applied')).toBe('artifactType');
      seen.push(
        ...JSON.parse(page.body.toString()).manifests.map((entry: { digest: string }) => entry.digest),
      );
      path = /<([^>]+)>/.exec(page.headers.get('link') ?? '')?.[1];
    }
    expect(seen).toEqual(bills.map(({ digest }) => digest).sort());
    const none = await get(mirror.url, `/v2/team/app/referrers/${image.digest}?artifactType=a/b`);
    expect(JSON.parse(none.body.toString()).manifests).toEqual([]);
  });
});

describe('deletes', () => {
  const blobPath = (digest: Digest) => `/v2/team/app/blobs/${digest}`;

  test('of a tag leave the manifest; of a manifest its tags go; then its blobs may go', async () => {
    await pushBlobs(image);
    await put('latest?tag=1', image);
    expect([(await remove('manifests/latest')).status, (await pull('latest')).status]).toEqual([202, 404]);
    expect((await pull('1')).status).toBe(200);
    const [blob] = image.blobs;
    if (blob === undefined) throw new Error('expected a blob');
    const { digest } = blob.descriptor;
    const needed = await remove(`blobs/${digest}`);
    expect([needed.status, firstError(needed)]).toEqual([
      405,
      expect.objectContaining({ code: 'UNSUPPORTED', detail: { manifests: [image.digest] } }),
    ]);
    expect([(await remove(`manifests/${image.digest}`)).status, (await pull('1')).status]).toEqual([
      202, 404,
    ]);
    expect((await pull(image.digest)).status).toBe(404);
    expect((await get(mirror.url, blobPath(image.digest))).status).toBe(404); // not as a blob either
    expect((await remove(`blobs/${digest}`)).status).toBe(202);
    expect((await get(mirror.url, blobPath(digest))).status).toBe(404);
    for (const path of ['manifests/latest', `manifests/${image.digest}`, `blobs/${digest}`])
      expect((await remove(path)).status).toBe(404);
  });

  test('of immutable content are refused: 409 for the tag, 405 for its manifest', async () => {
    await pushBlobs(image);
    await put('v1', image);
    expect((await remove('manifests/v1')).status).toBe(409);
    const answer = await remove(`manifests/${image.digest}`);
    expect([answer.status, firstError(answer).detail]).toEqual([405, { tags: ['v1'] }]);
    expect((await pull('v1')).status).toBe(200);
  });
});
