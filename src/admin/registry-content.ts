/**
 * What an export can have of a running daemon: images come through the registries as for a client with every right, so what is missing is
 * fetched and kept. What an upstream that is away can't give any more is read from the store.
 */
import { type Digest, isDigest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import type { BundleContent, ContentManifest, ContentReferrers } from '../registry/bundle-content.ts';
import { operatorCaller } from '../registry/caller.ts';
import type { RegistryReader } from '../registry/registry.ts';
import { formatImage, type ImageHosts, type ImageName, parseImage } from './image-name.ts';
import { parseReferrerList, type StoreContent } from './store-content.ts';

export interface RegistryContentOptions {
  readonly hosts: ImageHosts;
  /** By its host; an empty one: the private registry. */
  registry(host: string): Pick<RegistryReader, 'manifest' | 'blob' | 'referrers'> | undefined;
  readonly held: Pick<StoreContent, 'manifest' | 'referrers' | 'held'>;
}

const readBytes = 256 * 1024;
const maxReferrerPages = 100;

export class RegistryContent implements BundleContent {
  readonly #options: RegistryContentOptions;

  constructor(options: RegistryContentOptions) {
    this.#options = options;
  }

  async manifest(text: string, signal: AbortSignal): Promise<ContentManifest> {
    const { hosts, held } = this.#options;
    const image = parseImage(text, hosts);
    const { name, repository, reference } = image;
    try {
      const answer = await this.#registry(image).manifest(repository, reference, asOperator(signal));
      const { descriptor, bytes, checkedAt } = answer;
      const { isPrivate } = await held.manifest(`${name}@${descriptor.digest}`).catch(ignoreMissing);
      return {
        repository: name,
        reference,
        descriptor,
        bytes,
        ...(checkedAt !== undefined && { checkedAt }),
        ...(isPrivate !== undefined && { isPrivate }),
      };
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof RegistryError) || error.code !== 'UNAVAILABLE') throw error;
      // an incomplete image is not served while the upstream is away; an export says what it lacks
      return await held.manifest(text).catch(() => {
        throw error;
      });
    }
  }

  async referrers(text: string, signal: AbortSignal): Promise<ContentReferrers> {
    const { hosts, held } = this.#options;
    const image = parseImage(text, hosts);
    const known = await held.referrers(text);
    if (!isDigest(image.reference)) return known;
    const descriptors = [...known.descriptors];
    const seen = new Set(descriptors.map(({ digest }) => digest));
    try {
      let query: string | undefined;
      for (let page = 0; page < maxReferrerPages; page += 1) {
        const options = { ...asOperator(signal), ...(query !== undefined && { query }) };
        const registry = this.#registry(image);
        const answer = await registry.referrers(image.repository, image.reference, undefined, options);
        for (const descriptor of parseReferrerList(answer.bytes))
          if (!seen.has(descriptor.digest)) descriptors.push(descriptor);
        query = answer.nextQuery;
        if (query === undefined) break;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof RegistryError)) throw error;
      return known;
    }
    return { descriptors, tags: known.tags, isUnknown: false };
  }

  held(digests: readonly Digest[]): Promise<ReadonlyMap<Digest, number>> {
    return this.#options.held.held(digests);
  }

  async fetch(text: string, onBytes: (bytes: number) => void, signal: AbortSignal): Promise<number> {
    let size = 0;
    for await (const { length } of this.blob(text, signal)) {
      size += length;
      onBytes(length);
    }
    return size;
  }

  /** Each chunk is overwritten by the next one: it has gone out over the socket then. */
  async *blob(text: string, signal: AbortSignal): AsyncGenerator<Buffer, void, void> {
    const image = parseImage(text, this.#options.hosts);
    const { repository, reference } = image;
    if (!isDigest(reference))
      throw new RegistryError('DIGEST_INVALID', { message: `a blob is named by its digest, got ${text}` });
    const answer = await this.#registry(image).blob(repository, reference, undefined, asOperator(signal));
    const { reader } = answer;
    const buffer = Buffer.allocUnsafeSlow(Math.min(reader.preferredBytes, readBytes));
    try {
      for (let at = answer.start; ; ) {
        signal.throwIfAborted();
        const count = await reader.read(buffer, at);
        if (count === 0) break;
        at += count;
        yield buffer.subarray(0, count);
      }
    } finally {
      await reader.close();
    }
  }

  #registry(image: ImageName): Pick<RegistryReader, 'manifest' | 'blob' | 'referrers'> {
    const registry = this.#options.registry(image.host);
    if (registry !== undefined) return registry;
    throw new RegistryError('NAME_UNKNOWN', {
      message: `${image.host} is no upstream of this mirror, so ${formatImage(image)} cannot be had`,
    });
  }
}

function asOperator(signal: AbortSignal) {
  return { signal, caller: operatorCaller };
}

/** The record may not know it yet. */
function ignoreMissing(error: unknown): { readonly isPrivate?: boolean } {
  if (error instanceof RegistryError) return {};
  throw error;
}
