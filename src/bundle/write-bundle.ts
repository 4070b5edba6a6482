/**
 * A bundle as a stream: an OCI image layout (OCI image-spec "Image Layout") as a tar, small files first, so that a reader knows early what
 * comes. Each blob is compared with its digest on its way out. The same content gives the same bytes.
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Pack, pack } from 'tar-stream';
import { algorithmOf, createDigester, type Digest, finishDigest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import { isEmptyContent } from '../oci/image-needs.ts';
import type { Platform } from '../oci/platform.ts';
import type { BundleContent } from '../registry/bundle-content.ts';
import { blobPath, formatDockerList } from './docker-list.ts';
import { formatIndex } from './image-list.ts';
import type { ExportPlan, PlannedBlob, PlannedManifest } from './plan-export.ts';

export interface BundleOptions {
  readonly content: BundleContent;
  /** Bytes of the blobs that are held; what is not needed and not held is left out. */
  readonly held: ReadonlyMap<Digest, number>;
  /** The other side has it. */
  isLeftOut(digest: Digest): boolean;
  /** Which image of an index `docker load` gets. */
  readonly dockerPlatform: Platform;
  /** Bytes of the blob `digest` that went out. */
  onBytes?(bytes: number, digest: Digest): void;
  readonly signal: AbortSignal;
}

export interface WrittenBundle {
  readonly blobs: number;
  readonly manifests: number;
  /** Of blobs and manifests. */
  readonly bytes: number;
  readonly leftOut: number;
}

const layoutText = '{"imageLayoutVersion":"1.0.0"}';
const emptyText = '{}';
/** Times are left out. */
const mtime = new Date(0);

/** The bytes of the blobs that a bundle will have. */
export function bundleBytes(
  plan: ExportPlan,
  { held, isLeftOut }: Pick<BundleOptions, 'held' | 'isLeftOut'>,
) {
  return sum(chosenBlobs(plan, { held, isLeftOut }).map(({ size }) => size));
}

/** Ends `sink`. Errors: those of `content` and of `sink`; BLOB_UPLOAD_INVALID for content that is damaged; the signal's reason. */
export async function writeBundle(
  plan: ExportPlan,
  options: BundleOptions,
  sink: NodeJS.WritableStream,
): Promise<WrittenBundle> {
  const tar = pack();
  const blobs = chosenBlobs(plan, options);
  const manifests = [...plan.manifests.values()].filter(
    ({ descriptor }) => !options.isLeftOut(descriptor.digest),
  );
  const written = writeAll(tar, plan, { ...options, blobs, manifests }).then(
    () => tar.finalize(),
    (error: unknown) => tar.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  await Promise.all([pipeline(Readable.from(tar), sink, { signal: options.signal }), written]);
  const leftOut = [...plan.manifests.keys(), ...plan.blobs.keys()].filter(digest =>
    options.isLeftOut(digest),
  );
  const bytes = sum(blobs.map(({ size }) => size)) + sum(manifests.map(({ descriptor }) => descriptor.size));
  return { blobs: blobs.length, manifests: manifests.length, bytes, leftOut: leftOut.length };
}

interface ChosenBlob extends PlannedBlob {
  readonly size: number;
}

/** Sizes are those that manifests say: another length shows when the blob is written. */
function chosenBlobs(plan: ExportPlan, { held, isLeftOut }: Pick<BundleOptions, 'held' | 'isLeftOut'>) {
  return [...plan.blobs.values()].flatMap((blob): ChosenBlob[] => {
    const { digest, isNeeded } = blob;
    if (isLeftOut(digest) || plan.manifests.has(digest)) return []; // an artifact may have a manifest as its layer
    if (!isNeeded && !held.has(digest) && !isEmptyContent(digest)) return [];
    return [{ ...blob, size: blob.size ?? held.get(digest) ?? 0 }];
  });
}

async function writeAll(
  tar: Pack,
  plan: ExportPlan,
  parts: BundleOptions & {
    readonly blobs: readonly ChosenBlob[];
    readonly manifests: readonly PlannedManifest[];
  },
): Promise<void> {
  const { blobs, manifests, content, signal, dockerPlatform } = parts;
  const names = new Set(
    [...blobs, ...manifests.map(({ descriptor }) => descriptor)].map(({ digest }) => digest),
  );
  await writeFile(tar, 'oci-layout', Buffer.from(layoutText));
  await writeFile(tar, 'index.json', formatIndex(plan.entries));
  const dockerList = formatDockerList(plan, dockerPlatform, digest => names.has(digest));
  if (dockerList !== undefined) await writeFile(tar, 'manifest.json', dockerList);
  await writeFolder(tar, 'blobs/');
  for (const algorithm of new Set(Array.from(names, algorithmOf)))
    await writeFolder(tar, `blobs/${algorithm}/`);
  for (const { descriptor, repository } of manifests) {
    const { bytes } = await content.manifest(`${repository}@${descriptor.digest}`, signal);
    await writeFile(tar, blobPath(descriptor.digest), bytes);
  }
  for (const blob of blobs) await writeBlob(tar, blob, parts);
}

async function writeBlob(
  tar: Pack,
  { digest, repository, size }: ChosenBlob,
  { content, held, onBytes, signal }: BundleOptions,
): Promise<void> {
  const isWritten = isEmptyContent(digest) && !held.has(digest);
  const source = isWritten ? [Buffer.from(emptyText)] : content.blob(`${repository}@${digest}`, signal);
  const name = blobPath(digest);
  const entry = tar.entry({ name, size, type: 'file', mode: 0o644, mtime });
  await pipeline(Readable.from(verified(source, { digest, size, ...(onBytes && { onBytes }) })), entry, {
    signal,
  });
}

/** Ends only when all of it has the digest. */
async function* verified(
  source: AsyncIterable<Buffer> | Iterable<Buffer>,
  {
    digest,
    size,
    onBytes,
  }: Pick<BundleOptions, 'onBytes'> & { readonly digest: Digest; readonly size: number },
): AsyncGenerator<Buffer, void, void> {
  const hash = createDigester(algorithmOf(digest));
  let bytes = 0;
  for await (const chunk of source) {
    hash.update(chunk);
    bytes += chunk.length;
    if (bytes > size) break;
    onBytes?.(chunk.length, digest);
    yield chunk;
  }
  if (bytes !== size)
    throw damaged(
      `${digest} has ${bytes > size ? 'more than ' : ''}${Math.min(bytes, size)} bytes, and its manifest says ${size}`,
    );
  if (finishDigest(algorithmOf(digest), hash) !== digest)
    throw damaged(`the content of ${digest} is damaged: its bytes have another digest`);
}

function damaged(message: string): RegistryError {
  return new RegistryError('BLOB_UPLOAD_INVALID', { message });
}

async function writeFile(tar: Pack, name: string, bytes: Buffer): Promise<void> {
  const entry = tar.entry({ name, size: bytes.length, type: 'file', mode: 0o644, mtime });
  await pipeline(Readable.from([bytes]), entry);
}

function writeFolder(tar: Pack, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    tar.entry({ name, type: 'directory', mode: 0o755, mtime }, error => (error ? reject(error) : resolve()));
  });
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
