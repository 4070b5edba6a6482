/**
 * `cistern import FILE` and `cistern digests`, put together over a store: in the daemon, which counts what comes and keeps it from eviction
 * meanwhile, and for a store without one. A bundle has the rights of the operator who imports it: what it says of a repository is believed.
 */
import type { BundleAdmin, BundleImageReport, BundleReport } from '../../admin/bundle-admin.ts';
import { formatImage, type ImageHosts, type ImageName, parseImage } from '../../admin/image-name.ts';
import { type CheckedImage, checkBundle } from '../../bundle/check-bundle.ts';
import type { BundleEntry } from '../../bundle/image-list.ts';
import { type BlobTarget, readVerified, receiveBundle } from '../../bundle/read-bundle.ts';
import type { BlobHolds } from '../../content/blob-holds.ts';
import { formatBytes } from '../../lib/format.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import { maxManifestBytes } from '../../oci/manifest.ts';
import type { BundleContent } from '../../registry/bundle-content.ts';
import type { ImageImporter, ImportedImage } from '../../registry/image-import.ts';
import type { BlobStore } from '../../store/blobs/blob-store.ts';
import type { FileAdoption } from '../../store/import/file-adoption.ts';
import { StoreError } from '../../store/store-error.ts';
import type { Logger } from '../../telemetry/logger.ts';

/** Room that one blob of a bundle takes. */
export interface BlobRoom {
  /** The blob is in the store. */
  kept(digest: Digest): void;
  /** The import has ended, or the blob was not kept. Idempotent. */
  ended(): void;
}

export interface BundleParts {
  readonly hosts: ImageHosts;
  readonly content: BundleContent;
  readonly store: Pick<BlobStore, 'open' | 'sizeOf' | 'scan'>;
  readonly adoption: Pick<FileAdoption, 'store'>;
  readonly holds: BlobHolds;
  readonly mirrored: ImageImporter;
  /** Undefined: nothing is hosted. */
  readonly hosted: ImageImporter | undefined;
  /** Undefined: there is none. Hosted content is not bounded by the limit of the cache. Absent: only the disk bounds it. */
  reserve?(bytes: number, mayBeHosted: boolean): Promise<BlobRoom | undefined>;
  readonly logger: Logger;
}

export function createBundles(parts: BundleParts): BundleAdmin {
  return {
    content: parts.content,
    async *digests(signal) {
      for await (const { digest } of parts.store.scan()) {
        signal.throwIfAborted();
        yield digest;
      }
    },
    importBundle: async (tar, signal) => {
      const run = new BundleImport(parts, signal);
      try {
        const report = await run.run(tar);
        parts.logger.info('command', { command: 'import', ...report });
        return report;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        throw new RegistryError('UNAVAILABLE', { message: error.message, cause: error });
      } finally {
        run.end();
      }
    },
  };
}

/** One import. What it holds and reserves is given back by `end`. */
class BundleImport implements BlobTarget {
  readonly #parts: BundleParts;
  readonly #signal: AbortSignal;
  readonly #releases = new Map<Digest, () => void>();
  readonly #rooms: BlobRoom[] = [];
  /** Of quotas. */
  readonly #bookings: (() => void)[] = [];
  /** Until the bundle has said what it lists. */
  #mayBeHosted = true;

  constructor(parts: BundleParts, signal: AbortSignal) {
    this.#parts = parts;
    this.#signal = signal;
  }

  async run(tar: AsyncIterable<Buffer>): Promise<BundleReport> {
    const { kept, present, bytes, entries } = await receiveBundle(tar, this, this.#signal);
    const bundle = await checkBundle(entries, this);
    for (const image of bundle.images()) {
      const { importer, imported } = this.#place(image);
      this.#bookings.push(await importer.check(imported));
    }
    const images: BundleImageReport[] = [];
    for (const image of bundle.images()) {
      this.#signal.throwIfAborted();
      const { importer, imported } = this.#place(image);
      const done = await importer.add(imported, this.#signal);
      images.push({
        image: image.entry.name,
        digest: image.root.digest,
        result: done.result,
        reason: done.result === 'kept' ? done.reason : null,
        referrers: [...image.referrers.values()].reduce((sum, { length }) => sum + length, 0),
      });
    }
    return { images, blobs: { imported: kept, present }, bytes, unrelated: bundle.unrelated };
  }

  end(): void {
    for (const unbook of this.#bookings) unbook();
    for (const room of this.#rooms) room.ended();
    for (const release of this.#releases.values()) release();
  }

  expect(entries: readonly BundleEntry[]): void {
    const names = new Set<string>();
    this.#mayBeHosted = false;
    for (const { name } of entries) {
      if (name === undefined) continue;
      const image = this.#locate(name);
      if (names.has(formatImage(image)))
        throw new RegistryError('MANIFEST_INVALID', {
          message: `this bundle cannot be imported: it lists ${name} twice`,
        });
      names.add(formatImage(image));
      if (image.host === '') this.#mayBeHosted = true;
    }
  }

  async hold(digest: Digest): Promise<number | undefined> {
    const { holds, store } = this.#parts;
    if (!this.#releases.has(digest)) this.#releases.set(digest, await holds.hold(digest));
    return await store.sizeOf(digest);
  }

  async keep(digest: Digest, size: number, bytes: AsyncIterable<Buffer>): Promise<boolean> {
    const { adoption, reserve } = this.#parts;
    const room = reserve && (await reserve(size, this.#mayBeHosted));
    if (reserve !== undefined && room === undefined)
      throw new RegistryError('UNAVAILABLE', {
        message: `there is no room for ${digest} (${formatBytes(size)}): raise store.max_size, or make room on the disk`,
      });
    if (room !== undefined) this.#rooms.push(room);
    if ((await adoption.store(digest, bytes, this.#signal)) === undefined) return false;
    room?.kept(digest);
    return true;
  }

  async read(digest: Digest): Promise<Buffer | undefined> {
    const held = await this.#parts.store.open(digest);
    if (held === undefined) return undefined;
    try {
      if (held.size > maxManifestBytes) return undefined;
      const bytes = Buffer.alloc(held.size);
      await held.read(bytes, 0);
      return bytes;
    } finally {
      await held.close();
    }
  }

  #place({ entry, root, manifests, blobs, referrers }: CheckedImage): {
    readonly importer: ImageImporter;
    readonly imported: ImportedImage;
  } {
    const { host, name, repository, reference } = this.#locate(entry.name);
    if (isDigest(reference) && reference !== root.digest)
      throw new RegistryError('MANIFEST_INVALID', {
        message: `this bundle cannot be imported: it lists ${root.digest} as ${entry.name}`,
      });
    const { mirrored, hosted } = this.#parts;
    const importer = host === '' ? hosted : mirrored;
    if (importer === undefined) throw new Error('a hosted name without a private registry');
    const imported: ImportedImage = {
      name,
      repository,
      ...(!isDigest(reference) && { tag: reference }),
      root,
      manifests,
      blobs,
      referrers,
      ...(entry.checkedAt !== undefined && { checkedAt: entry.checkedAt }),
      isPrivate: entry.isPrivate === true,
      read: async ({ digest }) => {
        const bytes = await readVerified(this, digest);
        if (bytes !== undefined) return bytes;
        throw new RegistryError('MANIFEST_UNKNOWN', { message: `${digest} is not in the store any more` });
      },
    };
    return { importer, imported };
  }

  /** Names in a bundle are canonical: one without a registry is hosted, whatever the default upstream is here. */
  #locate(text: string): ImageName {
    const { keys, isHosted } = this.#parts.hosts;
    let image: ImageName;
    try {
      image = parseImage(text, { keys, ...(isHosted && { isHosted }) });
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      throw new RegistryError('NAME_UNKNOWN', {
        message: `the bundle has ${text}, which this registry cannot take: ${error.message}`,
      });
    }
    if (image.host === '' || [...keys.values()].includes(image.host)) return image;
    throw new RegistryError('NAME_UNKNOWN', {
      message: `the bundle has ${text}, and ${image.host} is no upstream of this mirror: add it to upstreams first; with offline: true it is never asked`,
    });
  }
}
