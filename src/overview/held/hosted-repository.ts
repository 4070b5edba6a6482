/** A hosted repository as its log has it. */
import type { HostedManifest, HostedRepository } from '../../hosted/log/hosted-log.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/name.ts';
import { HOSTED } from '../../registry/directory.ts';
import type { HeldManifest, HeldReferrer, HeldRepository, HeldTag } from './held-repository.ts';

export class PushedRepository implements HeldRepository {
  readonly upstream = HOSTED;
  readonly #repository: HostedRepository;

  constructor(repository: HostedRepository) {
    this.#repository = repository;
  }

  get name(): string {
    return this.#repository.name;
  }

  get lastUseMs(): number | undefined {
    let lastMs = 0;
    for (const { at, pulledAt = 0 } of this.#repository.manifests()) lastMs = Math.max(lastMs, at, pulledAt);
    return lastMs === 0 ? undefined : lastMs;
  }

  get counts(): HeldRepository['counts'] {
    let manifests = 0;
    for (const _manifest of this.#repository.manifests()) manifests += 1;
    return { tags: this.#repository.tags().length, manifests, pins: 0 };
  }

  tags(): readonly Tag[] {
    return this.#repository.tags();
  }

  tag(tag: Tag): HeldTag | undefined {
    const move = this.#repository.tag(tag);
    const manifest = move?.to === undefined ? undefined : this.#repository.manifest(move.to);
    if (move === undefined || manifest === undefined) return undefined;
    const { digest, mediaType } = manifest.descriptor;
    return { digest, mediaType, sinceMs: move.at, checkedMs: undefined };
  }

  tagsOf(digest: Digest): readonly Tag[] {
    return this.#repository.tagsOf(digest);
  }

  manifest(digest: Digest): HeldManifest | undefined {
    const manifest = this.#repository.manifest(digest);
    return manifest && described(manifest);
  }

  *manifests(): Iterable<HeldManifest> {
    for (const manifest of this.#repository.manifests()) yield described(manifest);
  }

  isNamed(digest: Digest): boolean {
    const { subject } = this.#repository.manifest(digest) ?? {};
    return this.#repository.namedBy(digest).length > 0 || subject !== undefined;
  }

  isPinned(): boolean {
    return false;
  }

  wasAsked(digest: Digest): boolean {
    return this.#repository.link(digest) !== undefined;
  }

  referrers(subject: Digest): readonly HeldReferrer[] {
    return this.#repository.referrers(subject).map(({ descriptor, artifactType, annotations = {} }) => {
      const { digest, mediaType, size } = descriptor;
      return { digest, mediaType, size, artifactType, annotations };
    });
  }
}

function described({ descriptor, at, pulledAt }: HostedManifest): HeldManifest {
  const { digest, mediaType } = descriptor;
  return { digest, mediaType, sinceMs: at, usedMs: pulledAt ?? at };
}
