/**
 * What can be pulled with the line cut, and what each other image lacks. A page looks at a bounded number of images, so it may have fewer
 * rows than asked for; the sums over all images are those of the last count of blobs.
 */
import type { MissingPart, OfflineAnswer, OfflineQuery, OfflineRow } from '../../http/api/schema/images.ts';
import { TimeSlice } from '../../lib/time-slice.ts';
import type { Caller } from '../../registry/caller.ts';
import type { BlobUses } from '../held/blob-uses.ts';
import type { HeldRepositories } from '../held/held-repositories.ts';
import type { ImageList } from './image-list.ts';
import type { DescribedImage, ImageRows } from './image-row.ts';
import { type ListPage, rightsIn } from './repository-list.ts';

export interface OfflineListOptions {
  readonly images: Pick<ImageList, 'walk'>;
  readonly rows: Pick<ImageRows, 'describe'>;
  readonly repositories: Pick<HeldRepositories, 'mayPull'>;
  readonly uses: Pick<BlobUses, 'current'>;
}

const maxLookedAt = 200;
const shownParts = 20;

export class OfflineList {
  readonly #options: OfflineListOptions;

  constructor(options: OfflineListOptions) {
    this.#options = options;
  }

  /** Errors: those of the list of images. */
  async page(query: OfflineQuery, caller: Caller, signal: AbortSignal): Promise<ListPage<OfflineRow>> {
    const { images, rows: describer } = this.#options;
    const rows: OfflineRow[] = [];
    let lookedAt = 0;
    let lastSeen: string | undefined;
    for await (const { repository, image } of images.walk(query, caller, signal)) {
      if (rows.length === query.n || lookedAt === maxLookedAt) return { rows, next: lastSeen };
      lookedAt += 1;
      const described = await describer.describe(repository, image);
      const { row } = described;
      lastSeen = row.image;
      if (query.show !== 'all' && row.complete !== (query.show === 'complete')) continue;
      const missing = missingParts(described);
      rows.push({
        image: row.image,
        repository: row.repository,
        tag: row.tag,
        complete: row.complete,
        missing: missing.slice(0, shownParts),
        missingParts: missing.length,
        missingBytes: missing.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0),
        may: rightsIn(repository, caller),
      });
    }
    return { rows };
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
