/**
 * What can be pulled with the line cut, and what each other image lacks. A page looks at a bounded number of images, so it may have fewer
 * rows than asked for; the sums over all images are those of the last count of blobs.
 */
import type { MissingPart, OfflineAnswer, OfflineQuery, OfflineRow } from '../../http/api/schema/images.ts';
import { TimeSlice } from '../../lib/time-slice.ts';
import type { Caller } from '../../registry/caller.ts';
import type { BlobUses } from '../held/blob-uses.ts';
import type { HeldRepositories } from '../held/held-repositories.ts';
import type { HeldRepository } from '../held/held-repository.ts';
import type { ImageList, WalkedImage } from './image-list.ts';
import type { DescribedImage, ImageRows } from './image-row.ts';
import { type ListPage, rightsIn } from './repository-list.ts';

export interface OfflineListOptions {
  readonly images: Pick<ImageList, 'walk'>;
  readonly rows: Pick<ImageRows, 'describe'>;
  readonly repositories: Pick<HeldRepositories, 'mayPull'>;
  readonly uses: Pick<BlobUses, 'current'>;
}

const maxLookedAt = 200;
/** Their manifests are read from the disk. */
const describedAtOnce = 8;
const shownParts = 20;

export class OfflineList {
  readonly #options: OfflineListOptions;

  constructor(options: OfflineListOptions) {
    this.#options = options;
  }

  /** Errors: those of the list of images. */
  async page(query: OfflineQuery, caller: Caller, signal: AbortSignal): Promise<ListPage<OfflineRow>> {
    const rows: OfflineRow[] = [];
    let batch: WalkedImage[] = [];
    let lookedAt = 0;
    let lastSeen: string | undefined;
    const take = async (): Promise<void> => {
      for (const { repository, described } of await Promise.all(batch.map(one => this.#describe(one)))) {
        lastSeen = described.row.image;
        if (isShown(query, described)) rows.push(rowOf(repository, described, caller));
      }
      batch = [];
    };
    for await (const walked of this.#options.images.walk(query, caller, signal)) {
      const isFull = rows.length + batch.length === query.n;
      if (batch.length === describedAtOnce || isFull) await take();
      if (rows.length === query.n || lookedAt === maxLookedAt) return { rows, next: lastSeen };
      lookedAt += 1;
      batch.push(walked);
      if (lookedAt === maxLookedAt) await take();
    }
    await take();
    return { rows };
  }

  async #describe({ repository, image }: WalkedImage) {
    return { repository, described: await this.#options.rows.describe(repository, image) };
  }

  async summary(caller: Caller): Promise<OfflineAnswer['summary']> {
    const { uses, repositories } = this.#options;
    const counted = uses.current();
    if (counted === undefined) return null;
    const sum = { complete: 0, incomplete: 0 };
    const slice = new TimeSlice();
    for (const { name, complete, incomplete } of counted.repositories) {
      await slice.pause();
      if (!(await repositories.mayPull(name, caller))) continue;
      sum.complete += complete;
      sum.incomplete += incomplete;
    }
    return { ...sum, countedAt: new Date(counted.countedAtMs).toISOString() };
  }
}

function isShown({ show }: OfflineQuery, { row }: DescribedImage): boolean {
  return show === 'all' || row.complete === (show === 'complete');
}

function rowOf(repository: HeldRepository, described: DescribedImage, caller: Caller): OfflineRow {
  const { image, repository: name, tag, complete } = described.row;
  const missing = missingParts(described);
  return {
    image,
    repository: name,
    tag,
    complete,
    missing: missing.slice(0, shownParts),
    missingParts: missing.length,
    missingBytes: missing.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0),
    may: rightsIn(repository, caller),
  };
}

/** Of an incomplete image; of one whose manifest isn't held that manifest. */
export function missingParts({ row, tree, missing }: DescribedImage): readonly MissingPart[] {
  if (tree === undefined) return [{ kind: 'manifest', digest: row.digest, bytes: null }];
  return [
    ...Array.from(missing?.manifests ?? [], digest => ({ kind: 'manifest' as const, digest, bytes: null })),
    ...Array.from(missing?.blobs.values() ?? [], ({ digest, size }) => ({
      kind: 'blob' as const,
      digest,
      bytes: size,
    })),
  ];
}
