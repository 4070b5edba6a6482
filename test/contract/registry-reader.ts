/**
 * What every `RegistryReader` must do: one suite over real sockets, for the client of one
 * upstream and for the cache before it. Blobs are asked for twice, because the second answer comes another way.
 */
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { ociIndex } from '../../src/oci/media-type.ts';
import { parseRepository, parseTag } from '../../src/oci/name.ts';
import { type ByteRange, resolveRange } from '../../src/oci/range.ts';
import type { BlobAnswer, PageOptions, RegistryReader, TagsPage } from '../../src/registry/registry.ts';
import { type BlobContent, bytesBlob, patternBlob } from '../support/content.ts';
import { answer } from '../support/faults.ts';
import { buildArtifact, buildImage, buildIndex } from '../support/images.ts';
import { type FakeUpstream, type FakeUpstreamOptions, startFakeUpstream } from '../support/upstream.ts';

/** A set-up that has to clean up uses `onTestFinished`. */
export type CreateRegistryReader = (upstream: FakeUpstream) => Promise<RegistryReader>;

const alpine = parseRepository('library/alpine');
const nowhere = parseRepository('library/nowhere');
const latest = parseTag('latest');
const small = patternBlob('small', 5000);
const large = patternBlob('large', 2 * 1024 * 1024 + 321);
const long = patternBlob('long', 3000, 'sha512');
const empty = bytesBlob('');
const image = buildImage({ layers: [small, large, long, empty] });
const dockerList = buildIndex({ type: 'docker' });
const sbom = buildArtifact({ subject: image, artifactType: 'application/vnd.example.sbom' });
const signature = buildArtifact({ subject: image, artifactType: 'application/vnd.example.signature' });
const absent = digestOf(Buffer.from('no registry has this'));
const outcomes = ['hit', 'miss', 'joined', 'stale', 'passthrough'];

/** All that a reader gives, in buffers of an odd size. */
async function readAll({ reader, start, end }: BlobAnswer): Promise<Buffer> {
  const parts: Buffer[] = [];
  try {
    for (let at = start; end === undefined || at < end; ) {
      const into = Buffer.alloc(Math.min(99_991, (end ?? Number.MAX_SAFE_INTEGER) - at));
      const count = await reader.read(into, at);
      if (count === 0) break;
      parts.push(into.subarray(0, count));
      at += count;
    }
    return Buffer.concat(parts);
  } finally {
    await reader.close();
  }
}

function bytesOf(content: BlobContent): Buffer {
  return content.slice(0, content.size);
}

export function describeRegistryReader(name: string, create: CreateRegistryReader): void {
  const options = () => ({ signal: new AbortController().signal });

  async function setUp(fake: FakeUpstreamOptions = {}) {
    const upstream = await startFakeUpstream(fake);
    upstream.put(alpine, image, 'latest');
    upstream.put(alpine, dockerList, 'list');
    return { upstream, registry: await create(upstream) };
  }

  describe(`${name} as a registry reader`, () => {
    test('HEAD of a manifest, by tag and by digest, says its type, digest and size', async () => {
      const { registry } = await setUp();
      for (const reference of [latest, image.digest]) {
        const { descriptor, outcome } = await registry.resolve(alpine, reference, options());
        expect(descriptor).toEqual(image.descriptor);
        expect(outcomes).toContain(outcome);
      }
    });

    test('GET of a manifest gives the bytes and the type as they were put, of every kind', async () => {
      const { registry } = await setUp();
      for (const reference of [latest, image.digest, image.digest]) {
        const { descriptor, bytes } = await registry.manifest(alpine, reference, options());
        expect(descriptor).toEqual(image.descriptor);
        expect(bytes).toEqual(image.bytes);
      }
      for (const reference of [parseTag('list'), dockerList.digest]) {
        const { descriptor, bytes } = await registry.manifest(alpine, reference, options());
        expect(descriptor).toEqual(dockerList.descriptor);
        expect(bytes).toEqual(dockerList.bytes);
      }
    });

    test('a manifest that is nowhere is MANIFEST_UNKNOWN, each time', async () => {
      const { registry } = await setUp();
      const unknown = { code: 'MANIFEST_UNKNOWN', status: 404 };
      for (let count = 0; count < 2; count += 1) {
        for (const reference of [parseTag('missing'), absent]) {
          await expect(registry.resolve(alpine, reference, options())).rejects.toMatchObject(unknown);
          await expect(registry.manifest(alpine, reference, options())).rejects.toMatchObject(unknown);
        }
        await expect(registry.manifest(nowhere, latest, options())).rejects.toMatchObject(unknown);
      }
    });

    test('HEAD of a blob says its size, and one that is nowhere is BLOB_UNKNOWN', async () => {
      const { registry } = await setUp();
      for (const content of [small, large, long, empty]) {
        expect(await registry.stat(alpine, content.digest, options())).toMatchObject({ size: content.size });
      }
      const unknown = { code: 'BLOB_UNKNOWN', status: 404 };
      await expect(registry.stat(alpine, absent, options())).rejects.toMatchObject(unknown);
      await expect(registry.stat(nowhere, small.digest, options())).rejects.toMatchObject(unknown);
      await expect(registry.blob(alpine, absent, undefined, options())).rejects.toMatchObject(unknown);
      await expect(registry.blob(nowhere, small.digest, undefined, options())).rejects.toMatchObject(unknown);
    });

    test.each([
      ['small', small],
      ['large', large],
      ['sha512', long],
      ['empty', empty],
    ])('a whole blob (%s)', async (_kind, content) => {
      const { registry } = await setUp();
      for (let count = 0; count < 2; count += 1) {
        const blob = await registry.blob(alpine, content.digest, undefined, options());
        expect(blob).toMatchObject({ size: content.size, start: 0, end: content.size, partial: false });
        expect(outcomes).toContain(blob.outcome);
        expect((await readAll(blob)).equals(bytesOf(content))).toBe(true);
      }
    });

    const ranges: [string, ByteRange][] = [
      ['the first byte', { first: 0, last: 0 }],
      ['the middle', { first: 1000, last: 2999 }],
      ['from the middle on', { first: 2500 }],
      ['from the start on', { first: 0 }],
      ['the last bytes', { suffix: 700 }],
      ['beyond the end', { first: 4000, last: 99_999_999 }],
      ['more last bytes than there are', { suffix: 99_999_999 }],
      ['all', { first: 0, last: 4999 }],
    ];

    test.each(ranges)('one range of a blob, small and large: %s', async (_what, range) => {
      const { registry } = await setUp();
      for (const content of [small, large, small, large]) {
        const span = resolveRange(range, content.size);
        if (span === undefined) throw new Error('expected a range that can be satisfied');
        const blob = await registry.blob(alpine, content.digest, range, options());
        expect(blob).toMatchObject({ size: content.size, ...span, partial: true });
        expect((await readAll(blob)).equals(content.slice(span.start, span.end))).toBe(true);
      }
    });

    test.each<[string, ByteRange]>([
      ['that starts at the end', { first: large.size }],
      ['far beyond the end', { first: 99_999_999 }],
      ['far beyond the end, closed', { first: 99_999_999, last: 100_000_000 }],
    ])('a range %s is RANGE_INVALID and says the size', async (_what, range) => {
      const { registry } = await setUp();
      const invalid = { code: 'RANGE_INVALID', status: 416, detail: { size: large.size } };
      await expect(registry.blob(alpine, large.digest, range, options())).rejects.toMatchObject(invalid);
      await readAll(await registry.blob(alpine, large.digest, undefined, options()));
      await expect(registry.blob(alpine, large.digest, range, options())).rejects.toMatchObject(invalid);
    });

    test.each<[string, (registry: RegistryReader) => unknown]>([
      ['nothing', () => undefined],
      ['the manifest', registry => registry.manifest(alpine, latest, options())],
      ['all', async registry => readAll(await registry.blob(alpine, large.digest, undefined, options()))],
    ])(
      'a range that ends before it starts is RANGE_INVALID when %s has been asked for before',
      async (_what, before) => {
        const { registry } = await setUp();
        await before(registry);
        const backwards = { first: 2_000_000, last: 1_999_000 };
        const asked = registry.blob(alpine, large.digest, backwards, options());
        await expect(asked).rejects.toMatchObject({ code: 'RANGE_INVALID', status: 416 });
      },
    );

    test('reading goes forward, may leave bytes out, and ends with 0', async () => {
      const { registry } = await setUp();
      const { reader } = await registry.blob(alpine, large.digest, undefined, options());
      const into = Buffer.alloc(10);
      expect(await reader.read(into, 1_000_000)).toBe(10);
      expect(into).toEqual(large.slice(1_000_000, 1_000_010));
      const rest = { reader, start: large.size - 5, end: undefined };
      expect(await readAll({ outcome: 'hit', size: undefined, partial: false, ...rest })).toEqual(
        large.slice(large.size - 5, large.size),
      );
    });

    test('close is idempotent, and nothing is given out after it', async () => {
      const { registry } = await setUp();
      for (let count = 0; count < 2; count += 1) {
        const { reader } = await registry.blob(alpine, large.digest, undefined, options());
        await reader.read(Buffer.alloc(10), 0);
        await Promise.all([reader.close(), reader.close()]);
        await reader.close();
        await expect(reader.read(Buffer.alloc(10), 10)).rejects.toThrow(/closed|left/);
        await readAll(await registry.blob(alpine, large.digest, undefined, options()));
      }
    });

    test('close rejects a read that waits for the upstream', async () => {
      const { registry, upstream } = await setUp();
      upstream.holdAfter({ digest: large.digest }, 1_500_000);
      const { reader } = await registry.blob(alpine, large.digest, undefined, options());
      const reading = readAll({
        outcome: 'miss',
        size: large.size,
        start: 0,
        end: large.size,
        partial: false,
        reader,
      });
      reading.catch(() => {});
      await upstream.log.until(entries => entries.some(({ bodyBytesSent }) => bodyBytesSent >= 1_500_000));
      await reader.close();
      await expect(reading).rejects.toThrow(/closed|left/);
    });

    test('many readers of one blob, in whole and in part, see the same bytes', async () => {
      const { registry } = await setUp();
      const asked = [undefined, { first: 0 }, { first: 100_000 }, { suffix: 1000 }, undefined].map(
        async range => {
          const blob = await registry.blob(alpine, large.digest, range, options());
          return (await readAll(blob)).equals(large.slice(blob.start, blob.end ?? large.size));
        },
      );
      expect(await Promise.all(asked)).toEqual([true, true, true, true, true]);
    });

    test('tags come in pages, each with the way to the next one', async () => {
      const { registry, upstream } = await setUp();
      for (const tag of ['1', '2', '3']) upstream.tag(alpine, tag, image.digest);
      expect((await registry.tags(alpine, options())).tags).toEqual(['1', '2', '3', 'latest', 'list']);
      const first = await registry.tags(alpine, { ...options(), n: 2 });
      expect([first.tags, wayOn(first)]).toEqual([['1', '2'], { last: '2', n: '2' }]);
      const second = await registry.tags(alpine, { ...options(), ...first.next, ...queryOf(first) });
      expect([second.tags, wayOn(second)]).toEqual([['3', 'latest'], { last: 'latest', n: '2' }]);
      const third = await registry.tags(alpine, { ...options(), ...second.next, ...queryOf(second) });
      expect([third.tags, wayOn(third)]).toEqual([['list'], {}]);
      await expect(registry.tags(nowhere, options())).rejects.toMatchObject({ code: 'NAME_UNKNOWN' });
    });

    test.each([
      ['by the upstream itself', {}],
      ['here, where the upstream has no such endpoint but an index under a tag', { noReferrers: true }],
    ])('referrers are an index, filtered %s', async (_how, quirks) => {
      const { registry, upstream } = await setUp({ quirks });
      for (const artifact of [sbom, signature]) upstream.put(alpine, artifact);
      const entries = [sbom, signature].map(({ descriptor, bytes }) => ({
        ...descriptor,
        artifactType: JSON.parse(bytes.toString()).artifactType,
      }));
      const index = { schemaVersion: 2, mediaType: ociIndex, manifests: entries };
      const tag = image.digest.replace(':', '-');
      upstream.putManifest(alpine, Buffer.from(JSON.stringify(index)), ociIndex, tag);
      const all = await registry.referrers(alpine, image.digest, undefined, options());
      expect(JSON.parse(all.bytes.toString())).toEqual(index);
      const type = 'application/vnd.example.signature';
      const some = await registry.referrers(alpine, image.digest, type, options());
      expect(some.filtered).toBe(true);
      expect(JSON.parse(some.bytes.toString()).manifests).toEqual([entries[1]]);
    });

    test('a manifest that nothing refers to has an empty index, each time', async () => {
      const { registry } = await setUp();
      for (let count = 0; count < 2; count += 1) {
        const { bytes } = await registry.referrers(alpine, dockerList.digest, undefined, options());
        expect(JSON.parse(bytes.toString())).toMatchObject({
          schemaVersion: 2,
          mediaType: ociIndex,
          manifests: [],
        });
      }
    });

    const refusals: [string, (upstream: FakeUpstream) => unknown, 'refused' | undefined][] = [
      ['refuses connections', upstream => upstream.refuse(), undefined],
      ['answers 500', upstream => upstream.fault({}, answer(500), { times: 'always' }), undefined],
      ['answers 429', upstream => upstream.fault({}, answer(429), { times: 'always' }), undefined],
      ['answers 401', upstream => upstream.fault({}, answer(401), { times: 'always' }), 'refused'],
      ['answers 403', upstream => upstream.fault({}, answer(403), { times: 'always' }), 'refused'],
    ];

    test.each(refusals)(
      'an upstream that %s is told from one that has nothing',
      async (_what, break_, reason) => {
        const { registry, upstream } = await setUp();
        await break_(upstream);
        const error = {
          name: 'UpstreamError',
          detail: expect.objectContaining(reason === undefined ? {} : { reason }),
        };
        const manifest =
          reason === undefined
            ? { code: 'UNAVAILABLE', status: 503 }
            : { code: 'MANIFEST_UNKNOWN', status: 404 };
        const list =
          reason === undefined ? { code: 'UNAVAILABLE', status: 503 } : { code: 'NAME_UNKNOWN', status: 404 };
        const blob = { code: 'BLOB_UNKNOWN', status: 404 };
        const asked: [Promise<unknown>, object][] = [
          [registry.resolve(alpine, latest, options()), manifest],
          [registry.manifest(alpine, image.digest, options()), manifest],
          [registry.stat(alpine, small.digest, options()), blob],
          [registry.blob(alpine, small.digest, undefined, options()), blob],
          [registry.blob(alpine, large.digest, { first: 5, last: 9 }, options()), blob],
          [registry.tags(alpine, options()), list],
          [registry.referrers(alpine, image.digest, undefined, options()), list],
        ];
        await Promise.all(
          asked.map(([work, expected]) => expect(work).rejects.toMatchObject({ ...error, ...expected })),
        );
      },
    );

    test('a caller who has left before gets nothing but his reason', async () => {
      const { registry } = await setUp();
      const reason = new Error('the client left');
      const gone = { signal: AbortSignal.abort(reason) };
      await expect(registry.manifest(alpine, latest, gone)).rejects.toBe(reason);
      await expect(registry.resolve(alpine, image.digest, gone)).rejects.toBe(reason);
      await expect(registry.stat(alpine, small.digest, gone)).rejects.toBe(reason);
      await expect(registry.blob(alpine, small.digest, undefined, gone)).rejects.toBe(reason);
      await expect(registry.tags(alpine, gone)).rejects.toBe(reason);
      await expect(registry.referrers(alpine, image.digest, undefined, gone)).rejects.toBe(reason);
      expect((await registry.manifest(alpine, latest, options())).bytes).toEqual(image.bytes);
    });

    type Ask = (registry: RegistryReader, signal: AbortSignal) => Promise<unknown>;

    test.each<[string, Ask]>([
      ['a manifest by tag', (registry, signal) => registry.manifest(alpine, latest, { signal })],
      ['a manifest by digest', (registry, signal) => registry.manifest(alpine, image.digest, { signal })],
      ['HEAD of a tag', (registry, signal) => registry.resolve(alpine, latest, { signal })],
      ['HEAD of a digest', (registry, signal) => registry.resolve(alpine, image.digest, { signal })],
      ['HEAD of a blob', (registry, signal) => registry.stat(alpine, small.digest, { signal })],
      [
        'a small blob',
        async (registry, signal) => readAll(await registry.blob(alpine, small.digest, undefined, { signal })),
      ],
      [
        'a large blob',
        async (registry, signal) => readAll(await registry.blob(alpine, large.digest, undefined, { signal })),
      ],
      ['tags', (registry, signal) => registry.tags(alpine, { signal })],
      ['referrers', (registry, signal) => registry.referrers(alpine, image.digest, undefined, { signal })],
    ])('a caller who leaves while he waits leaves alone what others wait for: %s', async (_what, ask) => {
      const { registry, upstream } = await setUp();
      const gate = upstream.holdHeaders({}, { times: 'always' });
      const controller = new AbortController();
      const leaving = ask(registry, controller.signal);
      const staying = ask(registry, options().signal);
      await gate.reached;
      const reason = new Error('the client left');
      controller.abort(reason);
      await expect(leaving).rejects.toBe(reason);
      gate.release();
      await expect(staying).resolves.toBeDefined();
    });
  });
}

/** The fields of the next page, whether it is the reader's own or its upstream's; none: it is the last one. */
function wayOn({ next, nextQuery }: TagsPage): Readonly<Record<string, string>> {
  const own = Object.entries(next ?? {}).map(([field, value]) => [field, String(value)] as const);
  return Object.fromEntries([...own, ...new URLSearchParams(nextQuery ?? '')]);
}

function queryOf({ nextQuery }: TagsPage): Pick<PageOptions, 'query'> {
  return nextQuery === undefined ? {} : { query: nextQuery };
}
