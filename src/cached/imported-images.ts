/**
 * Mirrored images that came from a bundle, as if they had been pulled: their content is linked to the repository, the tag counts as
 * confirmed when the other side last did so, and no upstream is asked. A tag that this mirror has confirmed later stays.
 */
import type { Digest } from '../oci/digest.ts';
import type { Descriptor } from '../oci/manifest.ts';
import { joinReferrers, parseReferrers } from '../oci/referrer-list.ts';
import type { ImageImporter, ImportedImage, ImportResult } from '../registry/image-import.ts';
import type { Records } from '../store/records/records.ts';
import type { RepositoryRecord } from '../store/records/repository-record.ts';
import type { Links } from './access/links.ts';

export interface ImportedImagesOptions {
  readonly records: Pick<Records, 'open' | 'lists'>;
  readonly links: Links;
  /** Any client may pull from this repository: its links are public. */
  isPublic(record: RepositoryRecord): boolean;
  /** Its bytes are in the store: the books and the memory of manifests hear of it. */
  manifestStored(descriptor: Descriptor): void;
  /** The lists of referrers of that repository in memory are out of date. */
  forgetReferrers(recordName: string, digest: Digest): void;
  /** Milliseconds since the epoch. */
  now(): number;
}

export class ImportedImages implements ImageImporter {
  readonly #options: ImportedImagesOptions;

  constructor(options: ImportedImagesOptions) {
    this.#options = options;
  }

  async check(): Promise<() => void> {
    return () => {}; // the cache has no quotas
  }

  async add(image: ImportedImage): Promise<ImportResult> {
    const { records, now } = this.#options;
    const record = await records.open(image.name);
    const { visibility } = record;
    if (visibility === undefined)
      record.setVisibility({ verdict: image.isPrivate ? 'private' : 'public', checkedAt: now() });
    const isNew = this.#link(record, image);
    const result = this.#point(record, image, isNew);
    await record.requireWritten();
    await this.#listReferrers(record, image);
    return result;
  }

  /** True: something of it was not linked before. */
  #link(record: RepositoryRecord, { blobs, manifests }: ImportedImage): boolean {
    const { links, isPublic, manifestStored } = this.#options;
    const isOpen = isPublic(record);
    let isNew = false;
    const link = (digest: Digest) => {
      isNew ||= !record.isLinked(digest);
      links.link(record, digest, isOpen);
    };
    for (const digest of blobs.keys()) link(digest);
    for (const descriptor of manifests) {
      manifestStored(descriptor);
      record.setManifest(descriptor);
      link(descriptor.digest);
    }
    return isNew;
  }

  #point(record: RepositoryRecord, { tag, root, checkedAt }: ImportedImage, isNew: boolean): ImportResult {
    const done = { result: isNew ? 'imported' : 'present' } as const;
    if (tag === undefined) return done;
    const { now } = this.#options;
    const confirmedMs = Math.min(checkedAt ?? now(), now()); // the other side's clock may be ahead
    const known = record.tag(tag);
    const isSame = known?.descriptor.digest === root.digest;
    if (known !== undefined && !isSame && known.checkedAt > confirmedMs) {
      const when = new Date(known.checkedAt).toISOString();
      return {
        result: 'kept',
        reason: `the tag points to ${known.descriptor.digest}, as its upstream said later than the bundle, at ${when}`,
      };
    }
    if (!isSame || known.checkedAt < confirmedMs)
      record.setTag(tag, { descriptor: root, checkedAt: confirmedMs });
    return isSame ? done : { result: 'imported' };
  }

  /** With those that are known already. An image without any gets an empty list, so that clients that ask need no upstream. */
  async #listReferrers(record: RepositoryRecord, { manifests, referrers }: ImportedImage): Promise<void> {
    const { records, now, forgetReferrers } = this.#options;
    for (const { digest } of manifests) {
      const held = await records.lists.read(record.name, digest);
      const known = held && parseReferrers(Buffer.from(held.text, 'base64'));
      const listed = new Set((known?.manifests ?? []).map(entry => Reflect.get(Object(entry), 'digest')));
      const added = (referrers.get(digest) ?? []).filter(entry => !listed.has(entry.digest));
      if (known !== undefined && added.length === 0) continue;
      const bytes = joinReferrers([{ ...known, manifests: [...(known?.manifests ?? []), ...added] }]);
      const list = { checkedAt: held?.checkedAt ?? now(), pieces: [bytes.toString('base64')] };
      records.lists.write(record.name, list, digest);
      forgetReferrers(record.name, digest);
    }
    await records.lists.flush();
  }
}
