/**
 * What every `RegistryWriter` and `RegistryDeleter` must do, seen through the reader beside it: one suite for the registry
 * in memory and for every hosted registry. Rights are not part of it: HTTP decides them before it calls.
 */
import { describe, expect, test } from 'vitest';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { ociManifest } from '../../src/oci/media-type.ts';
import { parseRepository, parseTag, type Reference, type Repository } from '../../src/oci/name.ts';
import { anonymousCaller, type Caller, operatorCaller } from '../../src/registry/caller.ts';
import type { RegistryReader } from '../../src/registry/registry.ts';
import type {
  Mounted,
  PutManifest,
  RegistryDeleter,
  RegistryWriter,
  UploadSession,
} from '../../src/registry/writer.ts';
import { type BlobContent, patternBlob } from '../support/content.ts';
import { deferred } from '../support/gates.ts';
import { type BuiltImage, buildArtifact, buildImage, buildIndex } from '../support/images.ts';

export type HostedRegistry = RegistryReader & RegistryWriter & RegistryDeleter;
/** What uploads and mounts need of it. */
export type UploadRegistry = RegistryReader &
  Pick<RegistryWriter, 'startUpload' | 'upload'> &
  Pick<RegistryDeleter, 'deleteBlob'>;

/** An empty registry that hosts any `team/…`. An implementation that needs cleaning up uses `onTestFinished`. */
export type CreateHostedRegistry = () => Promise<HostedRegistry>;
export type CreateUploadRegistry = () => Promise<UploadRegistry>;

const app = parseRepository('team/app');
const other = parseRepository('team/other');
const latest = parseTag('latest');
const alice: Caller = { ...operatorCaller, user: 'alice' };
const bob: Caller = { ...operatorCaller, user: 'bob' };
const blob = patternBlob('uploaded', 10_000);
const bytes = blob.slice(0, blob.size);

function options(caller: Caller = alice) {
  return { caller, signal: new AbortController().signal };
}

async function* bodyOf(...chunks: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* chunks;
}

async function* failing(chunk: Buffer): AsyncGenerator<Buffer> {
  yield chunk;
  throw new Error('the client left');
}

function sessionOf(started: UploadSession | Mounted): UploadSession {
  if (started.kind === 'session') return started;
  throw new Error('expected a session, got a mount');
}

async function start(registry: UploadRegistry, digest?: Digest, repository = app): Promise<UploadSession> {
  return sessionOf(await registry.startUpload(repository, digest === undefined ? {} : { digest }, options()));
}

async function push(registry: UploadRegistry, content: BlobContent, repository = app): Promise<void> {
  const session = await start(registry, content.digest, repository);
  await session.append(0, bodyOf(content.slice(0, content.size)), options());
  await session.commit(content.digest, options());
}

async function pushBlobs(registry: HostedRegistry, image: BuiltImage): Promise<void> {
  for (const { content } of image.blobs) await push(registry, content);
}

async function pushImage(registry: HostedRegistry, image: BuiltImage, reference: Reference): Promise<void> {
  await pushBlobs(registry, image);
  await registry.putManifest(app, reference, manifestOf(image), options());
}

function manifestOf(image: Pick<BuiltImage, 'bytes' | 'mediaType'>, ...tags: string[]): PutManifest {
  return { bytes: image.bytes, mediaType: image.mediaType, tags: tags.map(parseTag) };
}

/** The manifest with further or other fields. */
function altered(image: BuiltImage, fields: object): Pick<BuiltImage, 'bytes' | 'mediaType'> {
  const text = JSON.stringify({ ...JSON.parse(image.bytes.toString()), ...fields });
  return { bytes: Buffer.from(text), mediaType: image.mediaType };
}

async function held(registry: UploadRegistry, digest: Digest, repository = app): Promise<Buffer | undefined> {
  try {
    const { reader, size = 0 } = await registry.blob(repository, digest, undefined, options());
    const into = Buffer.alloc(size);
    for (let at = 0; at < size; ) at += await reader.read(into.subarray(at), at);
    await reader.close();
    return into;
  } catch (error) {
    expect(error).toMatchObject({ code: 'BLOB_UNKNOWN' });
    return undefined;
  }
}

async function tagsOf(registry: HostedRegistry, repository: Repository = app): Promise<readonly string[]> {
  return (await registry.tags(repository, options())).tags;
}

export function describeRegistryWriter(name: string, create: CreateHostedRegistry): void {
  describeUploads(name, create);
  describeManifests(name, create);
}

export function describeUploads(name: string, create: CreateUploadRegistry): void {
  describe(`${name}: uploads`, () => {
    test('monolithic: one chunk and a commit make a blob of that repository alone', async () => {
      const registry = await create();
      const session = await start(registry, blob.digest);
      expect([session.offset, session.expected]).toEqual([0, blob.digest]);
      await session.append(undefined, bodyOf(bytes), { ...options(), bytes: bytes.length });
      expect(await session.commit(blob.digest, options())).toEqual({ digest: blob.digest, size: blob.size });
      expect(await held(registry, blob.digest)).toEqual(bytes);
      expect((await registry.stat(app, blob.digest, options())).size).toBe(blob.size);
      expect(await held(registry, blob.digest, other)).toBeUndefined();
    });

    test('nothing can be read before the commit', async () => {
      const registry = await create();
      const session = await start(registry, blob.digest);
      await session.append(0, bodyOf(bytes), options());
      expect(await held(registry, blob.digest)).toBeUndefined();
    });

    test('chunked: with and without a start, of any size, the last one empty', async () => {
      const registry = await create();
      const session = await start(registry);
      expect(session.expected).toBeUndefined();
      await session.append(0, bodyOf(bytes.subarray(0, 1), bytes.subarray(1, 4000)), options());
      expect(session.offset).toBe(4000);
      await session.append(undefined, bodyOf(bytes.subarray(4000, 9999)), options());
      await session.append(9999, bodyOf(bytes.subarray(9999)), options());
      await session.append(undefined, bodyOf(), options());
      await session.commit(blob.digest, options());
      expect(await held(registry, blob.digest)).toEqual(bytes);
    });

    test('of an empty blob', async () => {
      const registry = await create();
      const empty = digestOf(Buffer.alloc(0));
      await (await start(registry)).commit(empty, options());
      expect(await held(registry, empty)).toEqual(Buffer.alloc(0));
    });

    test('with a digest of another algorithm', async () => {
      const registry = await create();
      const long = patternBlob('sha512', 3000, 'sha512');
      await push(registry, long);
      expect(await held(registry, long.digest)).toEqual(long.slice(0, long.size));
    });

    test('out of order: RANGE_INVALID with the offset, and the session goes on', async () => {
      const registry = await create();
      const session = await start(registry);
      await session.append(0, bodyOf(bytes.subarray(0, 5000)), options());
      for (const at of [0, 4999, 5001]) {
        await expect(session.append(at, bodyOf(bytes.subarray(5000)), options())).rejects.toMatchObject({
          code: 'RANGE_INVALID',
          detail: { offset: 5000 },
        });
      }
      await session.append(5000, bodyOf(bytes.subarray(5000)), options());
      await session.commit(blob.digest, options());
      expect(await held(registry, blob.digest)).toEqual(bytes);
    });

    test('a chunk longer than announced is SIZE_INVALID, a shorter one is not; what came counts', async () => {
      const registry = await create();
      const session = await start(registry);
      const long = session.append(0, bodyOf(bytes.subarray(0, 300), bytes.subarray(300, 500)), {
        ...options(),
        bytes: 400,
      });
      await expect(long).rejects.toMatchObject({ code: 'SIZE_INVALID' });
      expect(session.offset).toBe(400);
      await session.append(400, bodyOf(bytes.subarray(400, 500)), { ...options(), bytes: 1000 });
      expect(session.offset).toBe(500);
      await session.append(500, bodyOf(bytes.subarray(500)), options());
      await session.commit(blob.digest, options());
    });

    test('a wrong digest is DIGEST_INVALID, nothing is stored and the session is gone', async () => {
      const registry = await create();
      const wrong = digestOf(Buffer.from('other bytes'));
      for (const expected of [undefined, blob.digest]) {
        const session = await start(registry, expected);
        await session.append(0, bodyOf(bytes), options());
        await expect(session.commit(wrong, options())).rejects.toMatchObject({ code: 'DIGEST_INVALID' });
        await expect(registry.upload(app, session.id, options())).rejects.toMatchObject({
          code: 'BLOB_UPLOAD_UNKNOWN',
        });
      }
      expect([await held(registry, wrong), await held(registry, blob.digest)]).toEqual([
        undefined,
        undefined,
      ]);
    });

    test('the digest that was told at the start binds the commit', async () => {
      const registry = await create();
      const session = await start(registry, digestOf(Buffer.from('told')));
      await session.append(0, bodyOf(bytes), options());
      await expect(session.commit(blob.digest, options())).rejects.toMatchObject({ code: 'DIGEST_INVALID' });
      expect(await held(registry, blob.digest)).toBeUndefined();
    });

    test('resume: a body that fails leaves what came, status tells the offset, the rest follows', async () => {
      const registry = await create();
      const { id, ...first } = await start(registry, blob.digest).then(session => ({
        id: session.id,
        append: session.append(0, failing(bytes.subarray(0, 7000)), options()),
      }));
      await expect(first.append).rejects.toThrow('the client left');
      const session = await registry.upload(app, id, options());
      expect([session.id, session.offset, session.expected]).toEqual([id, 7000, blob.digest]);
      await session.append(7000, bodyOf(bytes.subarray(7000)), options());
      await session.commit(blob.digest, options());
      expect(await held(registry, blob.digest)).toEqual(bytes);
    });

    test('a signal ends the append, not the session', async () => {
      const registry = await create();
      const session = await start(registry);
      const leaving = new AbortController();
      const stuck = deferred();
      const body = (async function* (): AsyncGenerator<Buffer> {
        yield bytes.subarray(0, 100);
        leaving.abort(new Error('the client left'));
        await stuck.promise;
      })();
      await expect(session.append(0, body, { signal: leaving.signal })).rejects.toThrow('the client left');
      expect((await registry.upload(app, session.id, options())).offset).toBe(100);
      stuck.resolve();
    });

    test('a second append ends one that is still reading, and goes on from what is written', async () => {
      const registry = await create();
      const session = await start(registry);
      const [waits, stuck] = [deferred(), deferred()];
      const body = (async function* (): AsyncGenerator<Buffer> {
        yield bytes.subarray(0, 100);
        waits.resolve();
        await stuck.promise;
        yield Buffer.from('too late');
      })();
      const first = session.append(0, body, options());
      first.catch(() => {});
      await waits.promise;
      const again = await registry.upload(app, session.id, options());
      await again.append(100, bodyOf(bytes.subarray(100)), options());
      await expect(first).rejects.toMatchObject({ code: 'BLOB_UPLOAD_INVALID' });
      stuck.resolve();
      await again.commit(blob.digest, options());
      expect(await held(registry, blob.digest)).toEqual(bytes);
    });

    test('cancel drops the session and its bytes', async () => {
      const registry = await create();
      const session = await start(registry);
      await session.append(0, bodyOf(bytes), options());
      await session.cancel();
      const gone = { code: 'BLOB_UPLOAD_UNKNOWN' };
      await expect(registry.upload(app, session.id, options())).rejects.toMatchObject(gone);
      await expect(session.append(undefined, bodyOf(bytes), options())).rejects.toMatchObject(gone);
      await expect(session.commit(blob.digest, options())).rejects.toMatchObject(gone);
      await expect(session.cancel()).rejects.toMatchObject(gone);
      expect(await held(registry, blob.digest)).toBeUndefined();
    });

    test('a session is found only by its own repository and user', async () => {
      const registry = await create();
      const gone = { code: 'BLOB_UPLOAD_UNKNOWN' };
      const { id } = await start(registry);
      await expect(registry.upload(other, id, options())).rejects.toMatchObject(gone);
      await expect(registry.upload(app, id, options(bob))).rejects.toMatchObject(gone);
      await expect(registry.upload(app, id, options(anonymousCaller))).rejects.toMatchObject(gone);
      await expect(registry.upload(app, 'no-such-session', options())).rejects.toMatchObject(gone);
      const nameless = sessionOf(await registry.startUpload(app, {}, options(anonymousCaller)));
      expect((await registry.upload(app, nameless.id, options(anonymousCaller))).id).toBe(nameless.id);
      expect(nameless.id).not.toBe(id);
    });

    test('uploads side by side do not mix, and the same blob twice is no error', async () => {
      const registry = await create();
      const contents = [blob, blob, patternBlob('second', 5000)];
      await Promise.all(contents.map(content => push(registry, content)));
      for (const content of contents) {
        expect(await held(registry, content.digest)).toEqual(content.slice(0, content.size));
      }
    });
  });

  describe(`${name}: mounts`, () => {
    const mount = { digest: blob.digest };

    test('a blob of the named repository is linked without an upload', async () => {
      const registry = await create();
      await push(registry, blob, other);
      const from = { registry: registry, repository: other, upstream: 'hosted' };
      const mounted = await registry.startUpload(app, { mount: { ...mount, from } }, options());
      expect(mounted).toEqual({ kind: 'mounted', digest: blob.digest, size: blob.size });
      expect(await held(registry, blob.digest)).toEqual(bytes);
    });

    test('a mount outlives the link that it came from', async () => {
      const registry = await create();
      await push(registry, blob, other);
      const from = { registry: registry, repository: other, upstream: 'hosted' };
      await registry.startUpload(app, { mount: { ...mount, from } }, options());
      await registry.deleteBlob(other, blob.digest, options());
      expect(await held(registry, blob.digest)).toEqual(bytes);
    });

    test('without a repository, any one that the caller may pull from', async () => {
      const registry = await create();
      await push(registry, blob, other);
      const denied: Caller = { ...alice, mayPull: repository => repository !== other };
      const refused = sessionOf(await registry.startUpload(app, { mount }, options(denied)));
      await refused.cancel();
      expect(await held(registry, blob.digest)).toBeUndefined();
      expect((await registry.startUpload(app, { mount }, options())).kind).toBe('mounted');
    });

    test('what is not there to mount is an upload like any other', async () => {
      const registry = await create();
      const from = { registry: registry, repository: other, upstream: 'hosted' };
      const session = sessionOf(await registry.startUpload(app, { mount: { ...mount, from } }, options()));
      await session.append(0, bodyOf(bytes), options());
      await session.commit(blob.digest, options());
      expect(await held(registry, blob.digest)).toEqual(bytes);
    });
  });
}

function describeManifests(name: string, create: CreateHostedRegistry): void {
  describe(`${name}: manifests`, () => {
    const image = buildImage();
    const index = buildIndex();

    test('an image is kept byte for byte, under its tag and digest', async () => {
      const registry = await create();
      await pushBlobs(registry, image);
      const answer = await registry.putManifest(app, latest, manifestOf(image), options());
      expect(answer).toEqual({ descriptor: image.descriptor, tags: ['latest'], moved: [{ tag: 'latest' }] });
      for (const reference of [latest, image.digest]) {
        const pulled = await registry.manifest(app, reference, options());
        expect([pulled.descriptor, pulled.bytes]).toEqual([image.descriptor, image.bytes]);
        expect((await registry.resolve(app, reference, options())).descriptor).toEqual(image.descriptor);
      }
      expect(await tagsOf(registry)).toEqual(['latest']);
      await expect(registry.manifest(other, image.digest, options())).rejects.toMatchObject({
        code: expect.stringMatching(/^(?:MANIFEST|NAME)_UNKNOWN$/),
      });
    });

    test('by digest it gets no tag, with further tags it gets them all', async () => {
      const registry = await create();
      await pushBlobs(registry, image);
      expect((await registry.putManifest(app, image.digest, manifestOf(image), options())).tags).toEqual([]);
      expect(await tagsOf(registry)).toEqual([]);
      const both = await registry.putManifest(app, image.digest, manifestOf(image, '1', '1.2'), options());
      expect([...both.tags].sort()).toEqual(['1', '1.2']);
      const more = await registry.putManifest(app, latest, manifestOf(image, 'latest', '2'), options());
      expect([...more.tags].sort()).toEqual(['2', 'latest']);
      const again = await registry.putManifest(app, parseTag('2'), manifestOf(image), options());
      expect([again.tags, again.moved]).toEqual([['2'], []]);
      expect(await tagsOf(registry)).toEqual(['1', '1.2', '2', 'latest']);
    });

    test('a tag moves, the manifest before it stays', async () => {
      const registry = await create();
      const next = buildImage({ layers: ['layer a', 'layer next'] });
      await pushImage(registry, image, latest);
      await pushBlobs(registry, next);
      const { moved } = await registry.putManifest(app, latest, manifestOf(next), options());
      expect(moved).toEqual([{ tag: 'latest', from: image.digest }]);
      await pushImage(registry, next, latest); // the same again is no error
      expect((await registry.resolve(app, latest, options())).descriptor.digest).toBe(next.digest);
      expect((await registry.manifest(app, image.digest, options())).bytes).toEqual(image.bytes);
    });

    test('blobs that are not linked here are listed, all of them, and nothing is stored', async () => {
      const registry = await create();
      const [config, first, second] = [image.config, ...image.layers];
      if (config === undefined || first === undefined || second === undefined) throw new Error('three blobs');
      await push(registry, first.content);
      await push(registry, second.content, other);
      const putting = registry.putManifest(app, latest, manifestOf(image), options());
      await expect(putting).rejects.toMatchObject({
        code: 'MANIFEST_BLOB_UNKNOWN',
        status: 400,
        detail: { digests: [config.descriptor.digest, second.descriptor.digest] },
      });
      await expect(registry.manifest(app, image.digest, options())).rejects.toMatchObject({
        code: 'MANIFEST_UNKNOWN',
      });
    });

    test('layers that need not be distributed and children of an index may be missing', async () => {
      const registry = await create();
      const layerMediaType = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
      const windows = buildImage({ layers: ['base of windows'], layerMediaType });
      if (windows.config !== undefined) await push(registry, windows.config.content);
      await registry.putManifest(app, latest, manifestOf(windows), options());
      await registry.putManifest(app, parseTag('all'), manifestOf(index), options());
      expect((await registry.manifest(app, parseTag('all'), options())).bytes).toEqual(index.bytes);
    });

    test('unknown fields, types and empty layer lists are kept', async () => {
      const registry = await create();
      const odd = buildImage({ layers: [], extra: { 'org.example': { deep: [1, null] }, annotations: {} } });
      await pushImage(registry, odd, latest);
      expect((await registry.manifest(app, latest, options())).bytes).toEqual(odd.bytes);
    });

    test('a digest in the URL must be that of the bytes', async () => {
      const registry = await create();
      await pushBlobs(registry, image);
      const putting = registry.putManifest(app, index.digest, manifestOf(image), options());
      await expect(putting).rejects.toMatchObject({ code: 'DIGEST_INVALID' });
      const long = digestOf(image.bytes, 'sha512');
      const { descriptor } = await registry.putManifest(app, long, manifestOf(image), options());
      expect(descriptor.digest).toBe(long);
      expect((await registry.manifest(app, long, options())).bytes).toEqual(image.bytes);
    });

    test.each<[string, Pick<BuiltImage, 'bytes' | 'mediaType'>]>([
      ['is no JSON', { bytes: Buffer.from('{'), mediaType: ociManifest }],
      ['is no JSON object', { bytes: Buffer.from('[]'), mediaType: ociManifest }],
      ['says another media type', altered(image, { mediaType: index.mediaType })],
      ['has a layer without a digest', altered(image, { layers: [{ mediaType: 'a/b', size: 1 }] })],
      ['has a negative size', altered(image, { layers: [{ ...image.layers[0]?.descriptor, size: -1 }] })],
      ['has the wrong size of a blob', altered(image, { config: { ...image.config?.descriptor, size: 1 } })],
      [
        'has 1,001 descriptors',
        altered(image, { layers: Array.from({ length: 1000 }, () => image.layers[0]?.descriptor) }),
      ],
      [
        'has 10,001 children',
        altered(index, { manifests: Array.from({ length: 10_001 }, () => image.descriptor) }),
      ],
    ])('a manifest that %s is MANIFEST_INVALID, and the tag stays as it was', async (_what, manifest) => {
      const registry = await create();
      await pushImage(registry, image, latest);
      const putting = registry.putManifest(app, latest, manifestOf(manifest), options());
      await expect(putting).rejects.toMatchObject({ code: 'MANIFEST_INVALID', status: 400 });
      expect((await registry.resolve(app, latest, options())).descriptor.digest).toBe(image.digest);
    });

    test('4 MiB are taken, one byte more is 413', async () => {
      const registry = await create();
      await pushBlobs(registry, image);
      const room = 4 * 1024 * 1024 - altered(image, { pad: '' }).bytes.length;
      const fits = altered(image, { pad: 'x'.repeat(room) });
      await registry.putManifest(app, latest, manifestOf(fits), options());
      const large = altered(image, { pad: 'x'.repeat(room + 1) });
      const putting = registry.putManifest(app, latest, manifestOf(large), options());
      await expect(putting).rejects.toMatchObject({ code: 'MANIFEST_INVALID', status: 413 });
    });

    test('a subject is named in the answer and lists its referrer, whether it exists or not', async () => {
      const registry = await create();
      const sbom = buildArtifact({ subject: image, annotations: { made: 'today' } });
      await pushBlobs(registry, sbom);
      const { subject } = await registry.putManifest(app, sbom.digest, manifestOf(sbom), options());
      expect(subject).toBe(image.digest);
      const listed = async (artifactType?: string) => {
        const { bytes: list } = await registry.referrers(app, image.digest, artifactType, options());
        return JSON.parse(list.toString()).manifests;
      };
      const entry = {
        ...sbom.descriptor,
        artifactType: 'application/vnd.example.sbom',
        annotations: { made: 'today' },
      };
      expect(await listed()).toEqual([entry]);
      expect(await listed('application/vnd.example.sbom')).toEqual([entry]);
      expect(await listed('application/vnd.example.other')).toEqual([]);
      await registry.deleteManifest(app, sbom.digest, options());
      expect(await listed()).toEqual([]);
    });
  });

  describe(`${name}: deletes`, () => {
    const image = buildImage();
    const unknown = { code: 'MANIFEST_UNKNOWN' };

    test('a tag goes alone', async () => {
      const registry = await create();
      await pushImage(registry, image, latest);
      await registry.putManifest(app, parseTag('1'), manifestOf(image), options());
      await registry.deleteTag(app, latest, options());
      expect(await tagsOf(registry)).toEqual(['1']);
      await expect(registry.manifest(app, latest, options())).rejects.toMatchObject(unknown);
      expect((await registry.manifest(app, image.digest, options())).bytes).toEqual(image.bytes);
      await expect(registry.deleteTag(app, latest, options())).rejects.toMatchObject(unknown);
    });

    test('a manifest goes with all its tags, other manifests and the blobs stay', async () => {
      const registry = await create();
      const next = buildImage({ layers: ['layer a'] });
      await pushImage(registry, image, latest);
      await registry.putManifest(app, parseTag('1'), manifestOf(image), options());
      await pushImage(registry, next, parseTag('2'));
      await registry.deleteManifest(app, image.digest, options());
      expect(await tagsOf(registry)).toEqual(['2']);
      await expect(registry.manifest(app, image.digest, options())).rejects.toMatchObject(unknown);
      for (const { descriptor } of image.blobs) expect(await held(registry, descriptor.digest)).toBeDefined();
      await expect(registry.deleteManifest(app, image.digest, options())).rejects.toMatchObject(unknown);
    });

    test('a blob that a manifest needs is UNSUPPORTED and named; without the manifest it goes', async () => {
      const registry = await create();
      await pushImage(registry, image, latest);
      for (const { descriptor } of image.blobs) {
        await expect(registry.deleteBlob(app, descriptor.digest, options())).rejects.toMatchObject({
          code: 'UNSUPPORTED',
          status: 405,
          detail: { manifests: [image.digest] },
        });
      }
      await registry.deleteManifest(app, image.digest, options());
      for (const { descriptor } of image.blobs) {
        await registry.deleteBlob(app, descriptor.digest, options());
        expect(await held(registry, descriptor.digest)).toBeUndefined();
        await expect(registry.deleteBlob(app, descriptor.digest, options())).rejects.toMatchObject({
          code: 'BLOB_UNKNOWN',
        });
      }
    });

    test('a deleted blob can be pushed again, and other repositories keep theirs', async () => {
      const registry = await create();
      await push(registry, blob);
      await push(registry, blob, other);
      await registry.deleteBlob(app, blob.digest, options());
      expect(await held(registry, blob.digest)).toBeUndefined();
      expect(await held(registry, blob.digest, other)).toEqual(bytes);
      await push(registry, blob);
      expect(await held(registry, blob.digest)).toEqual(bytes);
    });
  });
}
