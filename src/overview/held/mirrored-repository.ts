/** A repository of an upstream as its record has it. */
import type { Digest } from '../../oci/digest.ts';
import type { Reference, Tag } from '../../oci/name.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import type { HeldManifest, HeldRepository, HeldTag } from './held-repository.ts';

export class MirroredRepository implements HeldRepository {
  readonly #record: RepositoryRecord;

  constructor(record: RepositoryRecord) {
    this.#record = record;
  }

  get name(): string {
    return this.#record.name;
  }

  get upstream(): string {
    return this.name.slice(0, this.name.indexOf('/'));
  }

  get lastUseMs(): number | undefined {
    return this.#record.usedMs === 0 ? undefined : this.#record.usedMs;
  }

  get counts(): HeldRepository['counts'] {
    const { pins } = this.#record;
    return {
      tags: countOf(this.#record.tags()),
      manifests: countOf(this.#record.manifests()),
      pins: pins.size,
    };
  }

  *tags(): Iterable<Tag> {
    for (const [tag] of this.#record.tags()) yield tag;
  }

  tag(tag: Tag): HeldTag | undefined {
    const entry = this.#record.tag(tag);
    if (entry === undefined) return undefined;
    const { digest, mediaType } = entry.descriptor;
    const [last] = this.#record.history(tag);
    return { digest, mediaType, sinceMs: last?.at, checkedMs: entry.checkedAt };
  }

  tagsOf(digest: Digest): readonly Tag[] {
    return Array.from(this.#record.tags()).flatMap(([tag, { descriptor }]) =>
      descriptor.digest === digest ? [tag] : [],
    );
  }

  manifest(digest: Digest): HeldManifest | undefined {
    const descriptor = this.#record.manifest(digest);
    return descriptor && { ...typed(descriptor), sinceMs: undefined, usedMs: undefined };
  }

  *manifests(): Iterable<HeldManifest> {
    for (const descriptor of this.#record.manifests())
      yield { ...typed(descriptor), sinceMs: undefined, usedMs: undefined };
  }

  isNamed(): undefined {
    return undefined;
  }

  isPinned(reference: Reference): boolean {
    return this.#record.pins.has(reference);
  }

  wasAsked(digest: Digest): boolean {
    return this.#record.isLinked(digest);
  }

  referrers(): undefined {
    return undefined;
  }
}

function typed({ digest, mediaType }: { readonly digest: Digest; readonly mediaType: string }) {
  return { digest, mediaType };
}

function countOf(entries: Iterable<unknown>): number {
  let count = 0;
  for (const _entry of entries) count += 1;
  return count;
}
