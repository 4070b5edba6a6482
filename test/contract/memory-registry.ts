/**
 * A hosted registry in memory: the first implementation of the writing contract, so that the suite for it runs before
 * `hosted/` exists, and the shortest text of what it asks for. One `MemoryRegistry` for each repository; nothing is shared
 * between them but by a mount.
 */
import { randomBytes } from 'node:crypto';
import { waitFor } from '../../src/lib/wait.ts';
import { algorithmOf, type Digest, digestOf, isDigest } from '../../src/oci/digest.ts';
import { RegistryError } from '../../src/oci/error.ts';
import { type ParsedManifest, parseManifest } from '../../src/oci/manifest.ts';
import { bareMediaType, isDistributable, ociIndex } from '../../src/oci/media-type.ts';
import type { Reference, Repository, Tag } from '../../src/oci/name.ts';
import type { ByteRange } from '../../src/oci/range.ts';
import type { Caller } from '../../src/registry/caller.ts';
import type { PageOptions, ReadOptions, RegistryReader } from '../../src/registry/registry.ts';
import type {
  BlobStored,
  Mount,
  Mounted,
  PutAnswer,
  PutManifest,
  RegistryDeleter,
  RegistryWriter,
  StartUpload,
  UploadSession,
  WriteOptions,
} from '../../src/registry/writer.ts';
import { MemoryRegistry } from '../support/memory-registry.ts';

const maxManifestBytes = 4 * 1024 * 1024;
const maxDescriptors = { image: 1000, index: 10_000 };

export class MemoryHostedRegistry implements RegistryReader, RegistryWriter, RegistryDeleter {
  readonly #repositories = new Map<Repository, MemoryRegistry>();
  readonly #sessions = new Map<string, MemorySession>();

  resolve(repository: Repository, reference: Reference, options: ReadOptions) {
    return this.#of(repository).resolve(repository, reference, options);
  }

  manifest(repository: Repository, reference: Reference, options: ReadOptions) {
    return this.#of(repository).manifest(repository, reference, options);
  }

  stat(repository: Repository, digest: Digest, options: ReadOptions) {
    return this.#of(repository).stat(repository, digest, options);
  }

  blob(repository: Repository, digest: Digest, range: ByteRange | undefined, options: ReadOptions) {
    return this.#of(repository).blob(repository, digest, range, options);
  }

  tags(repository: Repository, options: PageOptions) {
    return this.#of(repository).tags(repository, options);
  }

  async referrers(repository: Repository, digest: Digest, artifactType: string | undefined) {
    const manifests = this.#of(repository)
      .manifests()
      .map(({ descriptor, bytes }) => ({ descriptor, parsed: parseManifest(bytes, descriptor.mediaType) }))
      .filter(({ parsed }) => parsed.subject?.digest === digest)
      .map(({ descriptor, parsed }) => ({
        ...descriptor,
        artifactType: parsed.artifactType ?? parsed.config?.mediaType,
        ...(parsed.annotations && { annotations: parsed.annotations }),
      }))
      .filter(entry => artifactType === undefined || entry.artifactType === artifactType);
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests }));
    return { outcome: 'hit' as const, bytes, filtered: artifactType !== undefined };
  }

  requireMayWrite(): void {}

  async startUpload(
    repository: Repository,
    { digest, mount }: StartUpload,
    options: WriteOptions,
  ): Promise<UploadSession | Mounted> {
    const bytes = mount && (await this.#mountable(mount, options));
    if (mount !== undefined && bytes !== undefined) {
      this.#of(repository).addBlob(bytes, mount.digest);
      return { kind: 'mounted', digest: mount.digest, size: bytes.length };
    }
    const session = new MemorySession({
      repository,
      caller: options.caller,
      expected: digest,
      ended: id => this.#sessions.delete(id),
      commit: (bytes, digest) => this.#of(repository).addBlob(bytes, digest),
    });
    this.#sessions.set(session.id, session);
    return session;
  }

  async upload(repository: Repository, id: string, { caller }: WriteOptions): Promise<UploadSession> {
    const session = this.#sessions.get(id);
    if (session?.belongsTo(repository, caller) === true) return session;
    throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
  }

  async putManifest(
    repository: Repository,
    reference: Reference,
    { bytes, mediaType, tags }: PutManifest,
    options: WriteOptions,
  ): Promise<PutAnswer> {
    if (bytes.length > maxManifestBytes) throw new RegistryError('MANIFEST_INVALID', { status: 413 });
    const digest = isDigest(reference) ? digestOf(bytes, algorithmOf(reference)) : digestOf(bytes);
    if (isDigest(reference) && reference !== digest) throw new RegistryError('DIGEST_INVALID');
    const parsed = parseManifest(bytes, mediaType);
    requireSameType(bytes, mediaType);
    const held = this.#of(repository);
    requireContent(parsed, held);
    held.addManifest(bytes, mediaType, undefined, digest);
    const all = [...new Set(isDigest(reference) ? tags : [reference, ...tags])];
    const moved: { tag: Tag; from?: Digest }[] = [];
    for (const tag of all) {
      const before = await held.resolve(repository, tag, options).catch(() => undefined);
      if (before === undefined) moved.push({ tag });
      else if (before.descriptor.digest !== digest) moved.push({ tag, from: before.descriptor.digest });
      held.addManifest(bytes, mediaType, tag, digest);
    }
    return {
      descriptor: { mediaType, digest, size: bytes.length },
      tags: all,
      moved,
      ...(parsed.subject && { subject: parsed.subject.digest }),
    };
  }

  async deleteTag(repository: Repository, tag: Tag): Promise<void> {
    if (!this.#of(repository).removeManifest(tag)) throw new RegistryError('MANIFEST_UNKNOWN');
  }

  async deleteManifest(repository: Repository, digest: Digest): Promise<void> {
    if (!this.#of(repository).removeManifest(digest)) throw new RegistryError('MANIFEST_UNKNOWN');
  }

  async deleteBlob(repository: Repository, digest: Digest): Promise<void> {
    const held = this.#of(repository);
    const manifests = held
      .manifests()
      .filter(({ descriptor, bytes }) => {
        const { config, layers } = parseManifest(bytes, descriptor.mediaType);
        return [config, ...layers].some(named => named?.digest === digest);
      })
      .map(({ descriptor }) => descriptor.digest);
    if (manifests.length > 0) throw new RegistryError('UNSUPPORTED', { detail: { manifests } });
    if (!held.removeBlob(digest)) throw new RegistryError('BLOB_UNKNOWN');
  }

  #of(repository: Repository): MemoryRegistry {
    const held = this.#repositories.get(repository) ?? new MemoryRegistry();
    this.#repositories.set(repository, held);
    return held;
  }

  async #mountable({ digest, from }: Mount, { caller, signal }: WriteOptions): Promise<Buffer | undefined> {
    if (from === undefined) {
      const held = [...this.#repositories].find(
        ([name, one]) => caller.mayPull(name, 'private') && one.blobBytes(digest) !== undefined,
      );
      return held?.[1].blobBytes(digest);
    }
    try {
      const { reader, size = 0 } = await from.registry.blob(from.repository, digest, undefined, {
        caller,
        signal,
      });
      const bytes = Buffer.alloc(size);
      await reader.read(bytes, 0);
      await reader.close();
      return bytes;
    } catch {
      return undefined; // whatever the reason: the client uploads it then
    }
  }
}

interface SessionOptions {
  readonly repository: Repository;
  readonly caller: Caller;
  readonly expected: Digest | undefined;
  ended(id: string): void;
  commit(bytes: Buffer, digest: Digest): void;
}

class MemorySession implements UploadSession {
  readonly kind = 'session';
  readonly id = randomBytes(16).toString('hex');
  readonly #options: SessionOptions;
  #bytes = Buffer.alloc(0);
  #isOver = false;
  /** Ends the append that is running. */
  #running = new AbortController();

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  get offset(): number {
    return this.#bytes.length;
  }

  get expected(): Digest | undefined {
    return this.#options.expected;
  }

  belongsTo(repository: Repository, caller: Caller): boolean {
    return this.#options.repository === repository && this.#options.caller.user === caller.user;
  }

  async append(
    at: number | undefined,
    body: AsyncIterable<Buffer>,
    { signal, bytes = Number.POSITIVE_INFINITY }: { readonly signal: AbortSignal; readonly bytes?: number },
  ): Promise<void> {
    const either = AbortSignal.any([signal, this.#takeOver()]);
    if (at !== undefined && at !== this.offset) {
      throw new RegistryError('RANGE_INVALID', { detail: { offset: this.offset } });
    }
    const end = this.offset + bytes;
    const chunks = body[Symbol.asyncIterator]();
    for (;;) {
      const next = await waitFor(chunks.next(), either);
      if (next.done === true) return;
      const left = end - this.offset;
      this.#bytes = Buffer.concat([this.#bytes, next.value.subarray(0, left)]);
      if (next.value.length > left) throw new RegistryError('SIZE_INVALID');
    }
  }

  async commit(digest: Digest): Promise<BlobStored> {
    this.#takeOver();
    this.#end();
    const isRight = digestOf(this.#bytes, algorithmOf(digest)) === digest;
    if (!isRight || (this.expected ?? digest) !== digest) throw new RegistryError('DIGEST_INVALID');
    this.#options.commit(this.#bytes, digest);
    return { digest, size: this.offset };
  }

  async cancel(): Promise<void> {
    this.#takeOver();
    this.#end();
  }

  #takeOver(): AbortSignal {
    if (this.#isOver) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
    this.#running.abort(
      new RegistryError('BLOB_UPLOAD_INVALID', { message: 'another request continued it' }),
    );
    this.#running = new AbortController();
    return this.#running.signal;
  }

  #end(): void {
    this.#isOver = true;
    this.#options.ended(this.id);
  }
}

/** A `mediaType` in the body must be the one that came with it. */
function requireSameType(bytes: Buffer, mediaType: string): void {
  const body: unknown = JSON.parse(bytes.toString('utf8'));
  const said = typeof body === 'object' && body !== null && 'mediaType' in body ? body.mediaType : undefined;
  if (said !== undefined && said !== bareMediaType(mediaType)) throw new RegistryError('MANIFEST_INVALID');
}

function requireContent({ kind, config, layers, manifests }: ParsedManifest, held: MemoryRegistry): void {
  const blobs = [...(config === undefined ? [] : [config]), ...layers];
  if (blobs.length + manifests.length > maxDescriptors[kind === 'index' ? 'index' : 'image'])
    throw new RegistryError('MANIFEST_INVALID');
  for (const { digest, size } of [...blobs, ...manifests]) {
    const real = held.blobBytes(digest)?.length ?? held.manifestSize(digest);
    if (real !== undefined && real !== size) throw new RegistryError('MANIFEST_INVALID');
  }
  const digests = blobs
    .filter(({ mediaType, digest }) => isDistributable(mediaType) && held.blobBytes(digest) === undefined)
    .map(({ digest }) => digest);
  if (digests.length > 0) {
    throw new RegistryError('MANIFEST_BLOB_UNKNOWN', {
      status: 400,
      detail: { digests: [...new Set(digests)] },
    });
  }
}
