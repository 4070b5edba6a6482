/**
 * Manifests of one upstream (OCI distribution-spec end-3): their descriptors by HEAD, their bytes by GET, kept exactly
 * as received. No bytes leave here whose digest wasn't computed. What can't be mirrored (over 4 MiB, schema 1) is
 * answered as if it weren't there, with a line in the log.
 */

import { algorithmOf, type Digest, digestOf, isDigest } from '../../oci/digest.ts';
import { buildEndpoint } from '../../oci/endpoint.ts';
import type { Descriptor } from '../../oci/manifest.ts';
import { maxManifestBytes, parseManifest } from '../../oci/manifest.ts';
import {
  bareMediaType,
  isGenericType,
  isSchema1Type,
  manifestAccept,
  octetStream,
} from '../../oci/media-type.ts';
import type { Reference, Repository } from '../../oci/name.ts';
import { UpstreamError, type UpstreamFailure } from '../../registry/upstream-error.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Kind, Observer } from '../../telemetry/observer.ts';
import type { Deadline } from '../request/deadline.ts';
import type { Question } from '../request/request-kind.ts';
import type { Requester } from '../request/requester.ts';
import { BodyTooLarge, drain, readBody } from '../transport/body.ts';
import { type Headers, headerOf, type Transport } from '../transport/transport.ts';

export interface ManifestsOptions {
  readonly key: string;
  readonly requester: Requester;
  readonly transport: Transport;
  readonly observer: Observer;
  readonly logger: Logger;
}

export interface FetchedManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
}

/** OCI distribution-spec "Pushing Manifests": registries take at least 4 MiB, and clients give up there. */
/** Registries that know no HEAD for manifests. */
const noHeadStatuses: ReadonlySet<number> = new Set([405, 501]);
/** Wrong bytes, and bodies that broke off, get a second chance. */
const attempts = 2;

export class Manifests {
  readonly #options: ManifestsOptions;

  constructor(options: ManifestsOptions) {
    this.#options = options;
  }

  /** HEAD; GET where HEAD doesn't tell all of a descriptor. Errors: `UpstreamError`. */
  async resolve(repository: Repository, reference: Reference, budget: Deadline): Promise<Descriptor> {
    const question = { ...this.#question('manifest', 'HEAD', repository, reference), accepts: acceptsNoHead };
    const reply = await this.#options.requester.ask(question, budget);
    drain(reply.body);
    const descriptor = noHeadStatuses.has(reply.status) ? undefined : describe(reply.headers, reference);
    if (descriptor === undefined) return (await this.fetch(repository, reference, budget)).descriptor;
    if (descriptor.size > maxManifestBytes) throw this.#setAside('manifest', repository, reference, tooLarge);
    if (isSchema1Type(descriptor.mediaType)) throw this.#setAside('manifest', repository, reference, schema1);
    return descriptor;
  }

  /** GET, verified. `kind` is for the metrics and the answer. Errors: `UpstreamError`. */
  async fetch(
    repository: Repository,
    reference: Reference,
    budget: Deadline,
    kind: Kind = 'manifest',
  ): Promise<FetchedManifest> {
    for (let attempt = 1; ; attempt += 1) {
      const reply = await this.#options.requester.ask(
        this.#question(kind, 'GET', repository, reference),
        budget,
      );
      const type = headerOf(reply.headers, 'content-type') ?? '';
      if (isSchema1Type(type)) {
        drain(reply.body);
        throw this.#setAside(kind, repository, reference, schema1);
      }
      let bytes: Buffer;
      try {
        bytes = await readBody(reply, maxManifestBytes);
      } catch (error) {
        budget.signal.throwIfAborted();
        if (error instanceof BodyTooLarge) throw this.#setAside(kind, repository, reference, tooLarge);
        if (attempt < attempts) continue;
        throw this.#error(kind, 'unreachable', this.#options.transport.explain(error).message);
      }
      const expected = digestFor(reference, reply.headers);
      const digest = digestOf(bytes, expected === undefined ? 'sha256' : algorithmOf(expected));
      const mediaType = mediaTypeOf(bytes, type, isDigest(reference));
      if ((expected === undefined || expected === digest) && mediaType !== undefined) {
        return { descriptor: { mediaType, digest, size: bytes.length }, bytes };
      }
      const { key, logger, observer } = this.#options;
      if (expected !== undefined && expected !== digest) observer.digestMismatch(key);
      logger.warn('wrong bytes for a manifest', { upstream: key, repository, reference, digest, type });
      if (attempt < attempts) continue;
      throw this.#error(
        kind,
        'mismatch',
        `expected ${expected ?? 'a manifest'} of ${repository}, got ${digest}`,
      );
    }
  }

  #question(kind: Kind, method: 'GET' | 'HEAD', repository: Repository, reference: Reference): Question {
    const path = buildEndpoint({ kind: 'manifest', name: repository, reference });
    return { kind, method, path, repository, lane: 'control', headers: { accept: manifestAccept } };
  }

  #setAside(kind: Kind, repository: Repository, reference: Reference, why: string): UpstreamError {
    const { key, logger } = this.#options;
    logger.warn('a manifest can not be mirrored', { upstream: key, repository, reference, why });
    return this.#error(kind, 'gone', `${repository} ${reference} is not mirrored: ${why}`);
  }

  #error(kind: Kind, failure: UpstreamFailure, message: string): UpstreamError {
    return new UpstreamError({ upstream: this.#options.key, kind, failure, message });
  }
}

const tooLarge = `expected at most ${maxManifestBytes} bytes, got more`;
const schema1 = 'expected an index or an image manifest, got schema 1';

function acceptsNoHead(status: number): boolean {
  return noHeadStatuses.has(status);
}

function digestFor(reference: Reference, headers: Headers): Digest | undefined {
  if (isDigest(reference)) return reference;
  const said = headerOf(headers, 'docker-content-digest') ?? '';
  return isDigest(said) ? said : undefined;
}

/** Undefined: the headers don't say enough, or say something else than what was asked for. */
function describe(headers: Headers, reference: Reference): Descriptor | undefined {
  const type = headerOf(headers, 'content-type') ?? '';
  const size = Number(headerOf(headers, 'content-length') ?? 0);
  const said = headerOf(headers, 'docker-content-digest');
  const digest = digestFor(reference, headers);
  if (digest === undefined || isGenericType(type) || !Number.isSafeInteger(size) || size <= 0)
    return undefined;
  if (said !== undefined && said !== digest && isDigest(said)) return undefined;
  return { mediaType: bareMediaType(type), digest, size };
}

/**
 * A type that says nothing is looked up in the body. Undefined: a body that is no manifest at all, behind a tag, where
 * no digest vouches for it: a portal's or a proxy's page.
 */
function mediaTypeOf(bytes: Buffer, type: string, isByDigest: boolean): string | undefined {
  if (!isGenericType(type)) return bareMediaType(type);
  try {
    return parseManifest(bytes, type).mediaType;
  } catch {
    return isByDigest ? bareMediaType(type) || octetStream : undefined;
  }
}
