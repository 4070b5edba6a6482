/**
 * What the fake upstream holds: repositories with blobs, manifests and tags. Nothing is checked: a digest may be put with
 * other bytes than its own, which is how a lying registry is built.
 */
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { asContent, type BlobContent } from './content.ts';
import type { BuiltImage } from './images.ts';

export interface HeldManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

interface HeldRepository {
  readonly blobs: Map<string, BlobContent>;
  readonly manifests: Map<string, HeldManifest>;
  readonly tags: Map<string, Digest>;
}

export class RepositoryContent {
  readonly #repositories = new Map<string, HeldRepository>();

  /** Everything an image consists of; with a tag if given. Returns the digest of its manifest. */
  put(repository: string, image: BuiltImage, tag?: string): Digest {
    for (const blob of image.blobs) this.putBlob(repository, blob.descriptor.digest, blob.content);
    for (const manifest of image.manifests) {
      this.putManifest(repository, manifest.bytes, manifest.descriptor.mediaType, {
        digest: manifest.descriptor.digest,
      });
    }
    if (tag !== undefined) this.tag(repository, tag, image.descriptor.digest);
    return image.descriptor.digest;
  }

  putBlob(repository: string, digest: string, content: BlobContent | Buffer | string): void {
    this.#open(repository).blobs.set(digest, asContent(content));
  }

  removeBlob(repository: string, digest: string): void {
    this.#repositories.get(repository)?.blobs.delete(digest);
  }

  /** Returns the digest, which is that of the bytes unless another one is given. */
  putManifest(
    repository: string,
    bytes: Buffer,
    mediaType: string,
    options: { readonly tag?: string; readonly digest?: Digest } = {},
  ): Digest {
    const digest = options.digest ?? digestOf(bytes);
    this.#open(repository).manifests.set(digest, { digest, mediaType, bytes });
    if (options.tag !== undefined) this.tag(repository, options.tag, digest);
    return digest;
  }

  removeManifest(repository: string, digest: string): void {
    this.#repositories.get(repository)?.manifests.delete(digest);
  }

  /** Sets or moves a tag. */
  tag(repository: string, tag: string, digest: Digest): void {
    this.#open(repository).tags.set(tag, digest);
  }

  untag(repository: string, tag: string): void {
    this.#repositories.get(repository)?.tags.delete(tag);
  }

  has(repository: string): boolean {
    return this.#repositories.has(repository);
  }

  blob(repository: string, digest: string): BlobContent | undefined {
    return this.#repositories.get(repository)?.blobs.get(digest);
  }

  /** By tag or by digest. */
  manifest(repository: string, reference: string): HeldManifest | undefined {
    const held = this.#repositories.get(repository);
    return held?.manifests.get(held.tags.get(reference) ?? reference);
  }

  /** In lexical order. */
  tags(repository: string): string[] {
    return [...(this.#repositories.get(repository)?.tags.keys() ?? [])].sort();
  }

  manifests(repository: string): HeldManifest[] {
    return [...(this.#repositories.get(repository)?.manifests.values() ?? [])];
  }

  #open(repository: string): HeldRepository {
    const held = this.#repositories.get(repository) ?? {
      blobs: new Map(),
      manifests: new Map(),
      tags: new Map(),
    };
    this.#repositories.set(repository, held);
    return held;
  }
}
