/**
 * Blobs of one upstream (OCI distribution-spec end-2): whether one is there, and transfers of all or a part of it.
 * Every opening asks the registry anew, so that a signed URL is always a fresh one.
 */
import { pipeline, type Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { type Digest, type ForeignDigest, isDigest } from '../../oci/digest.ts';
import { buildEndpoint, parseEndpoint } from '../../oci/endpoint.ts';
import { isManifestType, octetStream } from '../../oci/media-type.ts';
import type { Repository } from '../../oci/name.ts';
import { type ByteRange, formatRange } from '../../oci/range.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Observer } from '../../telemetry/observer.ts';
import type { Deadline, Operations } from '../request/deadline.ts';
import { isRedirect, type RegistryRequest, type Reply } from '../request/redirects.ts';
import type { Requester } from '../request/requester.ts';
import { drain, encodingOf } from '../transport/body.ts';
import type { SlotRequest, TransferSlots } from '../transport/transfer-slots.ts';
import { headerOf } from '../transport/transport.ts';
import type { Body } from '../transport/undici-parts.ts';
import {
  type Extent,
  extentOf,
  lengthOf,
  type OpenedTransfer,
  streamBody,
  UnsatisfiableRange,
} from './transfer.ts';

export interface BlobsOptions {
  readonly key: string;
  readonly requester: Requester;
  readonly operations: Operations;
  readonly slots: TransferSlots;
  readonly observer: Observer;
}

/** Its deadline starts when it has a slot. */
export interface OpenOptions extends SlotRequest {
  /** See `Operation`. */
  readonly timeoutMs?: number | undefined;
  readonly requestId?: string | undefined;
  /** See `RegistryRequest.ignoreBreaker`. */
  readonly ignoreBreaker?: boolean;
  /** See `OpenedSource.target`. */
  readonly target?: URL | undefined;
  /** Of the whole blob, in bytes. A body of another length is decoded where the answer calls it compressed. */
  readonly expectedSize?: number | undefined;
}

export class Blobs {
  readonly #options: BlobsOptions;

  constructor(options: BlobsOptions) {
    this.#options = options;
  }

  /**
   * HEAD. A redirect to a store proves that the blob exists; its size is the store's to say, in its answer to a HEAD or, where it refuses
   * that (a URL may be signed for GET), to a GET of byte 0. Undefined: nothing says it. Errors: `UpstreamError`.
   */
  stat(
    repository: Repository,
    digest: Digest | ForeignDigest,
    options: Pick<OpenOptions, 'signal' | 'timeoutMs' | 'requestId'> & { readonly existenceOnly?: boolean },
  ): Promise<number | undefined> {
    const { signal, timeoutMs, requestId, existenceOnly = false } = options;
    return this.#options.operations.run(
      { kind: 'blob', subject: `HEAD ${repository} ${digest}`, signal, timeoutMs, requestId },
      async deadline => {
        const request = this.#request('HEAD', repository, digest);
        const reply = await this.#options.requester.send(
          existenceOnly
            ? { ...request, accepts: isRedirect, follows: isRegistry }
            : { ...request, acceptsElsewhere: (_status, url) => !isRegistry(url) },
          deadline,
        );
        drain(reply.body);
        this.#refuseManifest(reply, digest);
        if (isRedirect(reply.status)) return undefined;
        if (reply.status >= 200 && reply.status < 300) return lengthOf(reply);
        return this.#sizeByGet(repository, digest, deadline);
      },
    );
  }

  /** The store has refused a HEAD. Errors: `UpstreamError`. */
  async #sizeByGet(
    repository: Repository,
    digest: Digest | ForeignDigest,
    deadline: Deadline,
  ): Promise<number | undefined> {
    const range = { first: 0, last: 0 };
    const request: RegistryRequest = {
      ...this.#request('GET', repository, digest),
      headers: { range: formatRange(range) },
      acceptsElsewhere: (status, url) => status !== 404 && !isRegistry(url),
    };
    const reply = await this.#options.requester.send(request, deadline);
    this.#refuseManifest(reply, digest);
    const size = sizeOf(reply, range);
    if (reply.status === 206) drain(reply.body);
    else reply.body.destroy(); // a store that knows no ranges sends all of it
    if (reply.status === 404)
      throw this.#options.requester.fail('blob', 'gone', `the store has no ${digest}`);
    return size;
  }

  /**
   * GET of all or of one range. Errors: `UpstreamError`, of it `UnsatisfiableRange`; the signal's reason; for a background
   * transfer, also while its body is read, `TransferYielded`.
   */
  async open(
    repository: Repository,
    digest: Digest | ForeignDigest,
    range: ByteRange | undefined,
    options: OpenOptions,
  ): Promise<OpenedTransfer> {
    const { signal, timeoutMs, requestId, ignoreBreaker = false, target, expectedSize } = options;
    const { key, observer, requester, operations, slots } = this.#options;
    const subject = `GET ${repository} ${digest}`;
    operations.throwIfFailed({ kind: 'blob', subject, ignoreBreaker });
    requester.throwIfAway('blob', ignoreBreaker);
    const slot = await slots.acquire(options);
    const operation = {
      kind: 'blob',
      subject,
      signal: AbortSignal.any([signal, slot.signal]),
      timeoutMs,
      requestId,
      ignoreBreaker,
      keepsDeadline: true,
    } as const;
    try {
      return await operations.run(operation, async deadline => {
        const request: RegistryRequest = {
          ...this.#request('GET', repository, digest),
          pool: 'transfer',
          headers: range === undefined ? {} : { range: formatRange(range) },
          accepts: status => status === 416,
          ignoreBreaker,
          target,
        };
        const reply = await requester.send(request, deadline);
        this.#refuseManifest(reply, digest);
        const sent = this.#readExtent(reply, range, digest);
        const isOther = expectedSize !== undefined && sent.size !== expectedSize;
        const encoding = isOther ? encodingOf(reply) : undefined;
        const decoder = encoding === undefined ? undefined : this.#decoderFor(encoding, reply, digest);
        // the length that was sent is that of the compressed form
        const extent = decoder === undefined ? sent : { start: 0, end: undefined, size: undefined };
        deadline.settle();
        reply.body.once('close', () => {
          deadline.dispose();
          slot.release();
        });
        return {
          ...extent,
          isPartial: reply.status === 206,
          ...(reply.isOwnHost ? {} : { target: reply.url }),
          stream: streamBody(decoder === undefined ? reply.body : pipeTo(decoder, reply.body), {
            extent,
            onBytes: count => observer.upstreamBytes(key, count),
            explain: error => requester.explainCut(request, error, deadline),
          }),
        };
      });
    } catch (error) {
      slot.release();
      throw error;
    }
  }

  /** For a body that is compressed although `identity` was asked. Errors: `UpstreamError`. */
  #decoderFor(encoding: string, reply: Reply, digest: string): Transform {
    const { key, requester } = this.#options;
    const decoder = reply.status === 200 ? createDecoder(encoding) : undefined;
    if (decoder !== undefined) return decoder;
    reply.body.destroy();
    const form = `compressed (${encoding}), although that was not asked for`;
    const message = `${reply.url.host} sent ${digest} ${form}`;
    if (reply.status === 206) throw requester.fail('blob', 'range', `a range of ${message}`); // a range of the compressed form
    throw new UpstreamError({ upstream: key, kind: 'blob', failure: 'mismatch', message });
  }

  #request(method: 'GET' | 'HEAD', repository: Repository, digest: Digest | ForeignDigest): RegistryRequest {
    const name = repository;
    return {
      kind: 'blob',
      method,
      path: buildEndpoint(
        isDigest(digest) ? { kind: 'blob', name, digest } : { kind: 'foreign', of: 'blob', name, digest },
      ),
      repository,
      subject: `${repository}@${digest}`,
      pool: 'control',
    };
  }

  /** Some registries give manifests under `/blobs/` too: here they are no blobs. Errors: `UpstreamError` gone. */
  #refuseManifest(reply: Reply, digest: string): void {
    const type = headerOf(reply.headers, 'content-type') ?? octetStream; // what most registries say, without a look at others
    if (type === octetStream || !isManifestType(type)) return;
    drain(reply.body);
    throw this.#options.requester.fail('blob', 'gone', `${reply.url.host} gives ${digest} as a manifest`);
  }

  #readExtent(reply: Reply, range: ByteRange | undefined, digest: string): Extent {
    const { key, requester } = this.#options;
    const extent = reply.status === 416 ? undefined : extentOf(reply, range);
    if (extent !== undefined) return extent;
    drain(reply.body);
    const asked = range === undefined ? 'all' : formatRange(range);
    const got = headerOf(reply.headers, 'content-range') ?? 'no Content-Range';
    const message = `${reply.url.host} answered ${reply.status} with ${got} to a request for ${asked} of ${digest}`;
    if (reply.status !== 416) throw requester.fail('blob', 'range', message);
    throw new UnsatisfiableRange(key, message, unsatisfiedSize(reply));
  }
}

function createDecoder(encoding: string): Transform | undefined {
  if (encoding === 'gzip' || encoding === 'x-gzip') return createGunzip();
  if (encoding === 'deflate') return createInflate();
  return encoding === 'br' ? createBrotliDecompress() : undefined;
}

/** The end of either ends the other; the reader gets the error of the one that failed. */
function pipeTo(decoder: Transform, body: Body): Transform {
  return pipeline(body, decoder, () => undefined);
}

/** What the answer to a GET of byte 0 says of the whole: nothing, unless it is one of success or an empty blob's 416. */
function sizeOf(reply: Reply, range: ByteRange): number | undefined {
  if (reply.status === 416) return unsatisfiedSize(reply);
  return reply.status === 200 || reply.status === 206 ? extentOf(reply, range)?.size : undefined;
}

function unsatisfiedSize(reply: Reply): number | undefined {
  const size = /^bytes \*\/(\d{1,15})$/i.exec(headerOf(reply.headers, 'content-range') ?? '')?.[1];
  return size === undefined ? undefined : Number(size);
}

/**
 * Some registries (registry.k8s.io) send every request on to another registry, whether the blob exists or not: only a
 * redirect to a store proves anything, one to a registry's own endpoint is followed.
 */
function isRegistry(target: URL): boolean {
  try {
    const { kind } = parseEndpoint('GET', target.pathname).endpoint;
    return kind === 'blob' || kind === 'foreign';
  } catch {
    return false;
  }
}
