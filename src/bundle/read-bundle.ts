/**
 * Reads a bundle as it comes: each blob is kept under its digest once its bytes are verified, and when the tar has ended, every image is
 * checked whole. Only then are the images handed over; until then nothing in the store names what came. The tar may be of any origin.
 */
import { algorithmOf, createDigester, type Digest, digestOf, finishDigest, isDigest } from '../oci/digest.ts';
import { excerpt, RegistryError } from '../oci/error.ts';
import { type BundleEntry, maxIndexBytes, parseIndex } from './image-list.ts';
import { readTar, type TarEntry } from './tar-reader.ts';

/** Where the content goes. */
export interface BlobTarget {
  /** Bytes; undefined: it isn't held. What is held is not removed before the import has ended. */
  hold(digest: Digest): Promise<number | undefined>;
  /**
   * Keeps the bytes when they have the digest, and holds them. False: they have another one, and nothing is kept. Reads all of `bytes`.
   * Errors: UNAVAILABLE without room, `StoreError`, those of `bytes`.
   */
  keep(digest: Digest, size: number, bytes: AsyncIterable<Buffer>): Promise<boolean>;
  /** Of at most 4 MiB. Undefined: it isn't held. */
  read(digest: Digest): Promise<Buffer | undefined>;
  /** What the bundle lists, as soon as that is known. Errors: NAME_UNKNOWN for an image that can't be here. */
  expect(entries: readonly BundleEntry[]): void;
}

export interface ReceivedBundle {
  readonly entries: readonly BundleEntry[];
  /** Those of the bundle that were not held before, and those that were. */
  readonly kept: number;
  readonly present: number;
  /** Of those that were not held. */
  readonly bytes: number;
}

/** Two for each layer of many images. */
const maxEntries = 200_000;
const smallFiles: ReadonlySet<string> = new Set(['index.json', 'oci-layout']);
const layoutVersion = /^1\./;

/** Errors: MANIFEST_INVALID and BLOB_UPLOAD_INVALID, naming what is wrong with the bundle; those of `target` and of `source`. */
export async function receiveBundle(
  source: AsyncIterable<Buffer>,
  target: BlobTarget,
  signal: AbortSignal,
): Promise<ReceivedBundle> {
  const receiver = new Receiver(target);
  for await (const entry of readTar(uncompressed(source))) {
    signal.throwIfAborted();
    await receiver.take(entry);
  }
  return receiver.finish();
}

/** The bytes of a manifest, by its digest. Errors: BLOB_UPLOAD_INVALID for a file in the store that is damaged. */
export async function readVerified(
  target: Pick<BlobTarget, 'read'>,
  digest: Digest,
): Promise<Buffer | undefined> {
  const bytes = await target.read(digest);
  if (bytes === undefined || digestOf(bytes, algorithmOf(digest)) === digest) return bytes;
  throw new RegistryError('BLOB_UPLOAD_INVALID', {
    message: `the content of ${digest} that is held here is damaged`,
  });
}

class Receiver {
  readonly #target: BlobTarget;
  readonly #seen = new Set<string>();
  #entries: readonly BundleEntry[] | undefined;
  #kept = 0;
  #present = 0;
  #bytes = 0;

  constructor(target: BlobTarget) {
    this.#target = target;
  }

  async take(entry: TarEntry): Promise<void> {
    const name = requireSafeName(entry);
    if (entry.type === 'folder') return;
    if (this.#seen.has(name)) throw invalid(`${excerpt(name)} is in it twice`);
    if (this.#seen.size >= maxEntries) throw invalid(`it has more than ${maxEntries} files`);
    this.#seen.add(name);
    if (name.startsWith('blobs/')) return await this.#takeBlob(digestOfName(name), entry);
    if (smallFiles.has(name)) await this.#takeSmall(name, entry);
  }

  finish(): ReceivedBundle {
    if (this.#entries === undefined) {
      const isOld = this.#seen.has('manifest.json');
      throw invalid(
        `it has no index.json${isOld ? ', as docker save wrote it before version 25: cistern push takes it' : ''}`,
      );
    }
    if (!this.#seen.has('oci-layout')) throw invalid('it has no oci-layout');
    return { entries: this.#entries, kept: this.#kept, present: this.#present, bytes: this.#bytes };
  }

  /** Hashed whether it is held or not: a damaged bundle is found damaged everywhere. A held file of another length is replaced. */
  async #takeBlob(digest: Digest, { size, bytes }: TarEntry): Promise<void> {
    const held = await this.#target.hold(digest);
    const isRight =
      held === size ? await hasDigest(bytes, digest) : await this.#target.keep(digest, size, bytes);
    if (!isRight)
      throw new RegistryError('BLOB_UPLOAD_INVALID', {
        message: `the bundle is damaged: the ${size} bytes of ${digest} have another digest`,
      });
    if (held === size) this.#present += 1;
    else {
      this.#kept += 1;
      this.#bytes += size;
    }
  }

  async #takeSmall(name: string, { size, bytes }: TarEntry): Promise<void> {
    if (size > maxIndexBytes)
      throw invalid(`its ${name} has ${size} bytes, and at most ${maxIndexBytes} are read`);
    const chunks: Buffer[] = [];
    for await (const chunk of bytes) chunks.push(Buffer.from(chunk));
    const whole = Buffer.concat(chunks);
    if (name === 'oci-layout') return requireLayout(whole);
    this.#entries = parseIndex(whole);
    this.#target.expect(this.#entries);
  }
}

async function hasDigest(bytes: AsyncIterable<Buffer>, digest: Digest): Promise<boolean> {
  const hash = createDigester(algorithmOf(digest));
  for await (const chunk of bytes) hash.update(chunk);
  return finishDigest(algorithmOf(digest), hash) === digest;
}

/** Without `./` before it. Nothing is written by these names; a bundle with others was made to do harm. */
function requireSafeName({ name, type }: TarEntry): string {
  const plain = name.replace(/^(?:\.\/)+/, '').replace(/\/+$/, '');
  const isPlain =
    plain === '' || plain === '.' ? type === 'folder' : !/^\/|\\|\0|(?:^|\/)\.{0,2}(?:\/|$)/.test(plain);
  if (!isPlain) throw invalid(`the name ${excerpt(name)} leads out of it`);
  if (type === 'file' || type === 'folder') return plain;
  throw invalid(
    `${excerpt(name)} is a ${type === 'link' ? 'link' : 'special file'}, which an OCI layout does not have`,
  );
}

function digestOfName(name: string): Digest {
  const [, algorithm, hex, ...rest] = name.split('/');
  const digest = `${algorithm}:${hex}`;
  if (rest.length === 0 && isDigest(digest)) return digest;
  throw invalid(`${excerpt(name)} is not named by a sha256 or sha512 digest`);
}

function requireLayout(bytes: Buffer): void {
  let layout: unknown;
  try {
    layout = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw invalid('its oci-layout is not JSON');
  }
  const version: unknown = Reflect.get(Object(layout), 'imageLayoutVersion');
  if (typeof version !== 'string' || !layoutVersion.test(version))
    throw invalid(`its oci-layout names the version ${excerpt(String(version))}, and 1.0.0 is read`);
}

const compressions = [
  ['gzip', Buffer.from([0x1f, 0x8b])],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a])],
] as const;

/** Errors: MANIFEST_INVALID for a compressed file, which is no tar. */
async function* uncompressed(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  let isFirst = true;
  for await (const chunk of source) {
    const [name] = (isFirst && compressions.find(([, magic]) => chunk.indexOf(magic) === 0)) || [];
    if (name !== undefined) throw invalid(`it is compressed with ${name}: unpack it on the way in`);
    isFirst = false;
    yield chunk;
  }
}

export function invalid(what: string): RegistryError {
  return new RegistryError('MANIFEST_INVALID', { message: `this bundle cannot be imported: ${what}` });
}
