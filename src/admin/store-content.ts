/** What an export can have of a store without asking an upstream: held manifests and blobs, as they are on the disk. */
import { algorithmOf, type Digest, digestOf, isDigest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import { type Descriptor, maxManifestBytes, parseDescriptor } from '../oci/manifest.ts';
import type { Repository } from '../oci/name.ts';
import { parseReferrers, parseReferrersTag } from '../oci/referrer-list.ts';
import type { BundleContent, ContentManifest, ContentReferrers } from '../registry/bundle-content.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import type { Records } from '../store/records/records.ts';
import { formatImage, type ImageHosts, type ImageName, parseImage } from './image-name.ts';

/** A hosted repository as an export sees it. */
export interface HostedView {
  manifest(digest: Digest): { readonly descriptor: Descriptor } | undefined;
  tag(tag: string): { readonly to?: Digest } | undefined;
  tags(): readonly string[];
  referrers(subject: Digest): readonly { readonly descriptor: Descriptor; readonly artifactType?: string }[];
}

export interface StoreContentOptions {
  readonly hosts: ImageHosts;
  readonly records: Pick<Records, 'look' | 'lists'>;
  readonly store: Pick<BlobStore, 'open' | 'sizeOf'>;
  /** Undefined: there is no such repository. Errors: UNAVAILABLE. */
  hosted(name: Repository): Promise<HostedView | undefined>;
}

const readBytes = 64 * 1024;

export class StoreContent implements BundleContent {
  readonly #options: StoreContentOptions;

  constructor(options: StoreContentOptions) {
    this.#options = options;
  }

  async manifest(text: string): Promise<ContentManifest> {
    const { hosts, store } = this.#options;
    const image = parseImage(text, hosts);
    const found = await this.#find(image);
    const { digest } = found?.descriptor ?? {};
    const bytes = digest && (await readWhole(store, digest));
    if (found === undefined || bytes === undefined) throw notHeld('MANIFEST_UNKNOWN', formatImage(image));
    const { name, reference } = image;
    const { descriptor } = found;
    return {
      ...found,
      repository: name,
      reference,
      descriptor: { ...descriptor, size: bytes.length },
      bytes,
    };
  }

  async referrers(text: string): Promise<ContentReferrers> {
    const { hosts, records } = this.#options;
    const { host, name, repository, reference } = parseImage(text, hosts);
    const digest = isDigest(reference) ? reference : undefined;
    if (digest === undefined) return { descriptors: [], tags: [], isUnknown: true };
    if (host === '') {
      const view = await this.#options.hosted(repository);
      const descriptors = (view?.referrers(digest) ?? []).map(({ descriptor, artifactType }) => ({
        ...descriptor,
        ...(artifactType !== undefined && { artifactType }),
      }));
      return { descriptors, tags: tagsAbout(view?.tags() ?? [], digest), isUnknown: false };
    }
    const list = await records.lists.read(name, digest);
    const tags = tagsAbout(
      Array.from((await records.look(name)).tags(), ([tag]) => tag),
      digest,
    );
    if (list === undefined) return { descriptors: [], tags, isUnknown: true };
    return { descriptors: parseReferrerList(Buffer.from(list.text, 'base64')), tags, isUnknown: false };
  }

  async held(digests: readonly Digest[]): Promise<ReadonlyMap<Digest, number>> {
    const held = new Map<Digest, number>();
    for (const digest of digests) {
      const size = await this.#options.store.sizeOf(digest);
      if (size !== undefined) held.set(digest, size);
    }
    return held;
  }

  async fetch(text: string): Promise<number> {
    const image = parseImage(text, this.#options.hosts);
    const size = isDigest(image.reference) ? await this.#options.store.sizeOf(image.reference) : undefined;
    if (size !== undefined) return size;
    throw notHeld('BLOB_UNKNOWN', formatImage(image));
  }

  async *blob(text: string, signal: AbortSignal): AsyncGenerator<Buffer, void, void> {
    const { hosts, store } = this.#options;
    const image = parseImage(text, hosts);
    const held = isDigest(image.reference) ? await store.open(image.reference) : undefined;
    if (held === undefined) throw notHeld('BLOB_UNKNOWN', formatImage(image));
    try {
      for (let at = 0; at < held.size; ) {
        signal.throwIfAborted();
        const chunk = Buffer.allocUnsafe(Math.min(readBytes, held.size - at));
        at += await held.read(chunk, at);
        yield chunk;
      }
    } finally {
      await held.close();
    }
  }

  async #find({ host, name, repository, reference }: ImageName) {
    if (host === '') {
      const view = await this.#options.hosted(repository);
      const digest = isDigest(reference) ? reference : view?.tag(reference)?.to;
      return digest && view?.manifest(digest);
    }
    const record = await this.#options.records.look(name);
    const isPrivate = record.visibility?.verdict === 'private';
    if (isDigest(reference)) {
      const descriptor = record.manifest(reference);
      return descriptor && { descriptor, isPrivate };
    }
    const entry = record.tag(reference);
    if (entry === undefined) return undefined;
    const { digest } = entry.descriptor;
    return { descriptor: record.manifest(digest) ?? entry.descriptor, checkedAt: entry.checkedAt, isPrivate };
  }
}

/** Of those of a repository, what belongs to that digest: signatures and the like of cosign. */
export function tagsAbout(tags: readonly string[], digest: Digest): readonly string[] {
  return tags.filter(tag => {
    const about = parseReferrersTag(tag as Parameters<typeof parseReferrersTag>[0]);
    return about?.subject === digest && about.suffix !== '';
  });
}

/** What can't be read is left out. */
export function parseReferrerList(bytes: Buffer): ContentReferrers['descriptors'] {
  return (parseReferrers(bytes)?.manifests ?? []).flatMap(entry => {
    const descriptor = parseDescriptor(entry);
    if (descriptor === undefined) return [];
    const artifactType: unknown = Reflect.get(Object(entry), 'artifactType');
    return [{ ...descriptor, ...(typeof artifactType === 'string' && { artifactType }) }];
  });
}

/** Undefined: not held, no manifest, or damaged. */
async function readWhole(store: Pick<BlobStore, 'open'>, digest: Digest): Promise<Buffer | undefined> {
  const held = await store.open(digest);
  if (held === undefined) return undefined;
  try {
    if (held.size > maxManifestBytes) return undefined;
    const bytes = Buffer.alloc(held.size);
    await held.read(bytes, 0);
    return digestOf(bytes, algorithmOf(digest)) === digest ? bytes : undefined;
  } finally {
    await held.close();
  }
}

function notHeld(code: 'MANIFEST_UNKNOWN' | 'BLOB_UNKNOWN', image: string): RegistryError {
  return new RegistryError(code, { message: `${image} is not held, and no running daemon can fetch it` });
}
