/**
 * Hosted images that came from a bundle: each manifest with its links is one line of the log, children first, the tag with the last one.
 * A tag that was pushed, restored or deleted here since an earlier import stays as it is.
 */
import type { Digest } from '../../oci/digest.ts';
import type { Descriptor } from '../../oci/manifest.ts';
import type { Tag } from '../../oci/name.ts';
import type { ImageImporter, ImportedImage, ImportResult } from '../../registry/image-import.ts';
import type { BlobStore } from '../../store/blobs/blob-store.ts';
import { commitDecided } from '../commit.ts';
import type { ImmutableTags } from '../immutable-tags.ts';
import type { Cause, HostedChange, HostedLog, HostedRepository } from '../log/hosted-log.ts';
import { readPushedManifest, toManifestChange } from '../pushed-manifest.ts';
import type { Quotas } from '../put-manifest.ts';

export interface ImportedImagesOptions {
  readonly log: HostedLog;
  readonly store: Pick<BlobStore, 'syncName'>;
  readonly immutable: ImmutableTags;
  readonly quotas: Quotas;
  /** Errors: UNAVAILABLE while the registry is read-only. */
  requireWritable(): void;
  /** Milliseconds since the epoch. */
  now(): number;
}

export class ImportedImages implements ImageImporter {
  readonly #options: ImportedImagesOptions;

  constructor(options: ImportedImagesOptions) {
    this.#options = options;
  }

  async check(image: ImportedImage): Promise<() => void> {
    const { requireWritable, log, quotas } = this.#options;
    requireWritable();
    const { repository, tag, root, manifests } = image;
    for (const manifest of manifests)
      readPushedManifest(await image.read(manifest), manifest.mediaType, manifest.digest);
    const here = await log.readRepository(repository);
    if (tag !== undefined && this.#reasonToKeep(here, tag, root.digest) === undefined)
      this.#options.immutable.requireMovable(here, tag, root.digest);
    return await quotas.book(repository, demandOf(here, image));
  }

  async add(image: ImportedImage, signal: AbortSignal): Promise<ImportResult> {
    const { log, store, requireWritable } = this.#options;
    requireWritable();
    const { repository, tag, root, manifests, blobs } = image;
    const here = await log.readRepository(repository);
    const reason = tag === undefined ? undefined : this.#reasonToKeep(here, tag, root.digest);
    const isNew = manifests.some(({ digest }) => here?.manifest(digest) === undefined);
    for (const digest of [...blobs.keys(), ...manifests.map(manifest => manifest.digest)])
      await store.syncName(digest);
    for (const manifest of manifests) {
      const isTagged = manifest.digest === root.digest && tag !== undefined && reason === undefined;
      await this.#commit(image, manifest, isTagged ? [tag] : [], signal);
    }
    if (reason !== undefined) return { result: 'kept', reason };
    const isMoved = tag !== undefined && here?.tag(tag)?.to !== root.digest;
    return { result: isNew || isMoved ? 'imported' : 'present' };
  }

  async #commit(
    image: ImportedImage,
    descriptor: Descriptor,
    tags: readonly Tag[],
    signal: AbortSignal,
  ): Promise<void> {
    const { log, immutable, now } = this.#options;
    const bytes = await image.read(descriptor);
    const pushed = readPushedManifest(bytes, descriptor.mediaType, descriptor.digest);
    const cause: Cause = { at: now(), how: 'import' };
    const decide = (here: HostedRepository | undefined): readonly HostedChange[] => {
      for (const tag of tags) immutable.requireMovable(here, tag, descriptor.digest);
      const links = pushed.names.flatMap((digest): HostedChange[] => {
        const size = image.blobs.get(digest);
        return size === undefined || here?.link(digest) !== undefined
          ? []
          : [{ type: 'link', digest, size, ...cause }];
      });
      if (here?.manifest(descriptor.digest) !== undefined) {
        const moves = tags.filter(tag => here.tag(tag)?.to !== descriptor.digest);
        return [
          ...links,
          ...moves.map((tag): HostedChange => ({ type: 'tag', tag, digest: descriptor.digest, ...cause })),
        ];
      }
      return [...links, toManifestChange(pushed, tags, cause)];
    };
    const here = await log.readRepository(image.repository);
    if (decide(here).length > 0) await commitDecided(log, image.repository, decide, signal);
  }

  /** Undefined: the tag may move. */
  #reasonToKeep(here: HostedRepository | undefined, tag: Tag, to: Digest): string | undefined {
    const [last] = here?.history(tag) ?? [];
    if (last === undefined || last.to === to || last.how === 'import') return undefined;
    const what = last.to === undefined ? 'the tag was removed here' : `the tag points to ${last.to} here`;
    return `${what} (${last.how}, ${new Date(last.at).toISOString()})`;
  }
}

function demandOf(here: HostedRepository | undefined, { blobs, manifests, tag }: ImportedImage) {
  const all = new Map(blobs);
  for (const { digest, size } of manifests) all.set(digest, size);
  return {
    links: new Map([...all].filter(([digest]) => here?.link(digest) === undefined)),
    tags: tag === undefined || here?.tag(tag) !== undefined ? [] : [tag],
  };
}
