/** Who takes over the images of a bundle: the mirrored ones and the hosted ones. The same in a daemon and for a store without one. */
import type { Links } from '../../cached/access/links.ts';
import {
  type ImportedImagesOptions,
  ImportedImages as MirroredImages,
} from '../../cached/imported-images.ts';
import type { Config } from '../../config/config.ts';
import { ImmutableTags } from '../../hosted/immutable-tags.ts';
import { ImportedImages as HostedImages } from '../../hosted/import/imported-images.ts';
import type { ImageImporter } from '../../registry/image-import.ts';
import type { BlobStore } from '../../store/blobs/blob-store.ts';
import type { Records } from '../../store/records/records.ts';
import type { HostedContent } from '../hosted/hosted-log.ts';

export interface ImporterParts
  extends Partial<Pick<ImportedImagesOptions, 'isPublic' | 'manifestStored' | 'forgetReferrers'>> {
  readonly records: Records;
  readonly links: Links;
  readonly hosted: HostedContent;
  readonly store: BlobStore;
  /** Absent: it is the operator's own command. */
  requireWritable?(): void;
  now?(): number;
}

/** What is left out concerns the memory of a daemon, and there is none. */
export function createImporters(
  {
    records,
    links,
    hosted,
    store,
    requireWritable,
    isPublic,
    manifestStored,
    forgetReferrers,
    now = Date.now,
  }: ImporterParts,
  config: Pick<Config, 'hosted'>,
): { readonly mirrored: ImageImporter; readonly hosted: ImageImporter | undefined } {
  const mirrored = new MirroredImages({
    records,
    links,
    isPublic: isPublic ?? (() => false),
    manifestStored: manifestStored ?? (() => {}),
    forgetReferrers: forgetReferrers ?? (() => {}),
    now,
  });
  if (config.hosted.repositories.length === 0) return { mirrored, hosted: undefined };
  const { log, quotas } = hosted;
  return {
    mirrored,
    hosted: new HostedImages({
      log,
      store,
      quotas,
      immutable: new ImmutableTags(config.hosted.immutable),
      requireWritable: requireWritable ?? (() => {}),
      now,
    }),
  };
}
