/**
 * Manifests of one upstream (OCI distribution-spec end-3): their descriptors by HEAD, their bytes by GET, kept exactly
 * as received. No bytes leave here whose digest wasn't computed. A manifest that can't be mirrored (over 4 MiB, schema 1)
 * is answered as if it weren't there, with a line in the log.
 */
import { algorithmOf, type Digest, digestOf, isDigest } from '../../oci/digest.ts';
import { buildEndpoint } from '../../oci/endpoint.ts';
import { type Descriptor, maxManifestBytes, parseManifest } from '../../oci/manifest.ts';
import {
  bareMediaType,
  isGenericType,
  isSchema1Type,
  manifestAccept,
  octetStream,
} from '../../oci/media-type.ts';
import type { Reference, Repository } from '../../oci/name.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Kind, Observer } from '../../telemetry/observer.ts';
import type { Deadline } from '../request/deadline.ts';
import type { RegistryRequest } from '../request/redirects.ts';
import type { Requester } from '../request/requester.ts';
import { drain, encodingOf } from '../transport/body.ts';
import { type Headers, headerOf, type Method } from '../transport/transport.ts';
import { lengthOf } from './transfer.ts';

export interface ManifestsOptions {
  readonly key: string;
  readonly requester: Requester;
  readonly observer: Observer;
  readonly logger: Logger;
}

export interface FetchedManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
}

/** Wrong bytes, and bodies that broke off, get a second chance. */
const attempts = 2;

export class Manifests {
  readonly #options: ManifestsOptions;

  constructor(options: ManifestsOptions) {
    this.#options = options;
  }

  /**
   * HEAD. Undefined: it doesn't tell all of a descriptor, or is refused, which says nothing about what a GET would be answered.
   * Errors: `UpstreamError`.
   */
  async resolve(
    repository: Repository,
    reference: Reference,
    deadline: Deadline,
  ): Promise<Descriptor | undefined> {
    const request = {
      ...this.#request('manifest', 'HEAD', repository, reference),
      accepts: isNoLimit,
      isHint: true,
    };
    const reply = await this.#options.requester.send(request, deadline);
    drain(reply.body);
    const isGiven = reply.status >= 200 && reply.status < 300;
    const descriptor = isGiven ? describe(reply.headers, reference) : undefined;
    if (descriptor === undefined) return undefined;
    if (descriptor.size > maxManifestBytes)
      throw this.#failAsUnsupported('manifest', repository, reference, tooLarge);
    if (isSchema1Type(descriptor.mediaType))
      throw this.#failAsUnsupported('manifest', repository, reference, schema1);
    return descriptor;
  }

  /** GET, verified. `kind` is for the metrics and the answer. Errors: `UpstreamError`. */
  async fetch(
    repository: Repository,
    reference: Reference,
    deadline: Deadline,
    kind: Kind = 'manifest',
  ): Promise<FetchedManifest> {
    const { key, logger, observer, requester } = this.#options;
    const request = this.#request(kind, 'GET', repository, reference);
    for (let attempt = 1; ; attempt += 1) {
      const reply = await requester.send(request, deadline);
      const type = headerOf(reply.headers, 'content-type') ?? '';
      if (isSchema1Type(type)) {
        drain(reply.body);
        throw this.#failAsUnsupported(kind, repository, reference, schema1);
      }
      let bytes: Buffer;
      try {
        bytes = await requester.readBody(request, reply, maxManifestBytes, 'gone', deadline);
      } catch (error) {
        deadline.signal.throwIfAborted();
        if (error instanceof UpstreamError && error.failure === 'gone')
          throw this.#failAsUnsupported(kind, repository, reference, tooLarge);
        if (attempt < attempts) continue;
        throw error;
      }
      const expected = digestFor(reference, reply.headers);
      const digest = digestOf(bytes, expected === undefined ? 'sha256' : algorithmOf(expected));
      const mediaType = mediaTypeOf(bytes, type, isDigest(reference));
      if ((expected === undefined || expected === digest) && mediaType !== undefined) {
        return { descriptor: { mediaType, digest, size: bytes.length }, bytes };
      }
      if (expected !== undefined && expected !== digest) observer.digestMismatch(key);
      logger.warn('wrong bytes for a manifest', { upstream: key, repository, reference, digest, type });
      if (attempt < attempts) continue;
      const encoding = encodingOf(reply);
      const encoded =
        encoding === undefined ? '' : `, compressed (${encoding}) although that was not asked for`;
      const message = `${request.subject} came with wrong bytes, of digest ${digest}${encoded}`;
      throw requester.fail(kind, 'mismatch', message);
    }
  }

  #request(kind: Kind, method: Method, repository: Repository, reference: Reference): RegistryRequest {
    return {
      kind,
      method,
      path: buildEndpoint({ kind: 'manifest', name: repository, reference }),
      repository,
      subject: nameOf(repository, reference),
      pool: 'control',
      headers: { accept: manifestAccept },
    };
  }

  #failAsUnsupported(kind: Kind, repository: Repository, reference: Reference, why: string): UpstreamError {
    const { key, logger, requester } = this.#options;
    logger.warn('manifest cannot be mirrored', { upstream: key, repository, reference, why });
    return requester.fail(kind, 'gone', `${nameOf(repository, reference)} is not mirrored: ${why}`);
  }
}

const tooLarge = `it is larger than ${maxManifestBytes} bytes`;
const schema1 = 'it is of schema 1, which is no longer supported';

function nameOf(repository: Repository, reference: Reference): string {
  return `${repository}${isDigest(reference) ? '@' : ':'}${reference}`;
}

/** Any other status of a HEAD is a hint only. */
function isNoLimit(status: number): boolean {
  return status !== 429;
}

function digestFor(reference: Reference, headers: Headers): Digest | undefined {
  if (isDigest(reference)) return reference;
  const said = headerOf(headers, 'docker-content-digest') ?? '';
  return isDigest(said) ? said : undefined;
}

/** Undefined: the headers don't say enough, or say something else than what was asked for. */
function describe(headers: Headers, reference: Reference): Descriptor | undefined {
  const type = headerOf(headers, 'content-type') ?? '';
  const size = lengthOf({ headers }) ?? 0;
  const said = headerOf(headers, 'docker-content-digest');
  const digest = digestFor(reference, headers);
  if (digest === undefined || isGenericType(type) || !Number.isSafeInteger(size) || size <= 0)
    return undefined;
  if (said !== undefined && said !== digest && isDigest(said)) return undefined;
  return { mediaType: bareMediaType(type), digest, size };
}

/**
 * A type that says nothing is looked up in the body. Undefined: a body asked for by tag, where no digest vouches for it,
 * that is no manifest at all: a portal's or a proxy's page.
 */
function mediaTypeOf(bytes: Buffer, type: string, isByDigest: boolean): string | undefined {
  if (!isGenericType(type)) return bareMediaType(type);
  try {
    return parseManifest(bytes, type).mediaType;
  } catch {
    return isByDigest ? bareMediaType(type) || octetStream : undefined;
  }
}
