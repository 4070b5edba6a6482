/** What a collection did, or would do, told per repository: what goes, why, and how many bytes. */
import type { HostedRepository } from '../log/hosted-log.ts';
import type { Collection } from './alive.ts';

export interface CollectionReport {
  readonly dryRun: boolean;
  readonly repositories: readonly RepositoryCollection[];
  /** Repositories that could not be collected now, and why. */
  readonly skipped: readonly { readonly repository: string; readonly reason: string }[];
  /** Files that were removed, or would be: no other repository links them, and the cache doesn't know them. */
  readonly blobs: number;
  readonly freedBytes: number;
}

export interface RepositoryCollection {
  readonly repository: string;
  readonly manifests: number;
  /** Of blobs. */
  readonly links: number;
  /** Of all links that go, those of manifests among them. Other repositories may have the same content. */
  readonly bytes: number;
  /** At most 1,000. */
  readonly removed: readonly RemovedItem[];
}

export interface RemovedItem {
  readonly kind: 'manifest' | 'link';
  /** Its digest. */
  readonly name: string;
  readonly bytes: number;
  readonly why: string;
}

const maxItems = 1000;

/** Undefined: nothing goes. The repository as it was when that was decided. */
export function reportCollection(
  repository: HostedRepository,
  { manifests, links }: Collection,
): RepositoryCollection | undefined {
  const count = manifests.size + links.size;
  if (count === 0) return undefined;
  let bytes = 0;
  const removed: RemovedItem[] = [];
  const add = (item: RemovedItem): void => {
    bytes += item.bytes;
    if (removed.length < maxItems) removed.push(item);
  };
  for (const [name, why] of manifests)
    add({ kind: 'manifest', name, bytes: repository.link(name)?.size ?? 0, why });
  for (const name of links)
    add({ kind: 'link', name, bytes: repository.link(name)?.size ?? 0, why: 'no manifest needs it' });
  return { repository: repository.name, manifests: manifests.size, links: links.size, bytes, removed };
}
