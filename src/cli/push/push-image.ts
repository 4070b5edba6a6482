/** The order of a push: first all blobs, a few at once, then manifests, children before the index that names them. */
import type { ImageSource, SourceManifest } from '../../bundle/image-source.ts';
import { Limit } from '../../lib/limit.ts';
import { type Timers, wait } from '../../lib/wait.ts';
import type { Digest } from '../../oci/digest.ts';
import { buildEndpoint } from '../../oci/endpoint.ts';
import type { Descriptor } from '../../oci/manifest.ts';
import type { Reference } from '../../oci/name.ts';
import { BlobUpload } from './blob-upload.ts';
import type { ImageAddress } from './image-address.ts';
import { PushError, pauseAfter, refused } from './push-error.ts';
import type { Send } from './push-transport.ts';

export interface PushObserver {
  /** So many of the blob's bytes are in the registry. */
  blobAt(digest: Digest, offset: number): void;
  blobDone(blob: Descriptor, result: 'pushed' | 'present'): void;
  /** It failed and is tried again. */
  trouble(error: PushError): void;
}

export interface PushOptions {
  readonly address: ImageAddress;
  readonly send: Send;
  readonly chunkBytes: number;
  readonly timers: Timers;
  readonly observer: PushObserver;
  readonly signal: AbortSignal;
}

export interface PushReport {
  /** Of what the reference points to now. */
  readonly digest: Digest;
  readonly pushed: number;
  readonly present: number;
}

const uploadsAtOnce = 3;
/** Some two minutes of a line that is away. */
const maxFailures = 12;

/** Errors: `PushError`; the signal's reason; those of the source. */
export async function pushImage(source: ImageSource, options: PushOptions): Promise<PushReport> {
  const { address, observer } = options;
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const limit = new Limit({ maxRunning: uploadsAtOnce });
  const results = await Promise.allSettled(
    source.blobs.map(blob =>
      limit.run(async () => {
        signal.throwIfAborted();
        const result = await pushBlob(source, blob, { ...options, signal }).catch((error: unknown) => {
          stop.abort(error); // the others would be for nothing
          throw error;
        });
        observer.blobDone(blob, result);
        return result;
      }),
    ),
  );
  options.signal.throwIfAborted();
  if (stop.signal.aborted) throw stop.signal.reason;
  const root = source.manifests.at(-1);
  if (root === undefined) throw new Error('a source has at least one manifest');
  for (const manifest of source.manifests)
    await pushManifest(manifest, manifest === root ? address.reference : manifest.descriptor.digest, options);
  const present = results.filter(
    result => result.status === 'fulfilled' && result.value === 'present',
  ).length;
  return { digest: root.descriptor.digest, pushed: results.length - present, present };
}

function pushBlob(
  source: ImageSource,
  blob: Descriptor,
  { address, send, chunkBytes, timers, observer, signal }: PushOptions,
): Promise<'pushed' | 'present'> {
  const { registry, repository } = address;
  const upload = new BlobUpload(
    { registry, repository, send, chunkBytes, maxFailures, timers, signal },
    {
      blob,
      read: at => source.read(blob.digest, at),
      onProgress: offset => observer.blobAt(blob.digest, offset),
      onTrouble: error => observer.trouble(error),
    },
  );
  return upload.run();
}

async function pushManifest(
  { descriptor, bytes }: SourceManifest,
  reference: Reference,
  { address, send, timers, observer, signal }: PushOptions,
): Promise<void> {
  const { registry, repository } = address;
  const url = new URL(buildEndpoint({ kind: 'manifest-put', name: repository, reference }), registry);
  const headers = { 'content-type': descriptor.mediaType, 'content-length': String(bytes.length) };
  for (let failures = 1; ; failures += 1) {
    try {
      const body = async function* () {
        yield bytes;
      };
      const answer = await send({ method: 'PUT', url, headers, body, signal });
      if (answer.status !== 201) throw refused(registry.host, `the manifest ${reference}`, answer);
      const stored = answer.headers['docker-content-digest'];
      if (stored !== undefined && stored !== descriptor.digest)
        throw new PushError(
          `${registry.host} stored ${reference} as ${String(stored)} and not as it was sent`,
        );
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof PushError) || !error.isPassing || failures > maxFailures) throw error;
      observer.trouble(error);
      await wait(timers, pauseAfter(error, failures), signal);
    }
  }
}
