/** A mirrored repository as the page sees it, with one manifest under the tag `latest`. */
import type { Digest } from '../../src/oci/digest.ts';
import { ociManifest } from '../../src/oci/media-type.ts';
import { parseTag } from '../../src/oci/name.ts';
import type { HeldRepositoriesOptions } from '../../src/overview/held/held-repositories.ts';
import type { HeldRepository } from '../../src/overview/held/held-repository.ts';

const latest = parseTag('latest');

export function heldRepository(name: string, digest: Digest): HeldRepository {
  const typed = { digest, mediaType: ociManifest, sinceMs: 1, usedMs: undefined };
  return {
    name,
    upstream: 'docker.io',
    lastUseMs: 1,
    counts: { tags: 1, manifests: 1, pins: 0 },
    tags: () => [latest],
    tag: () => ({ ...typed, checkedMs: 1 }),
    tagsOf: () => [latest],
    manifest: () => typed,
    manifests: () => [typed],
    isNamed: () => undefined,
    isPinned: () => false,
    wasAsked: () => true,
    referrers: () => undefined,
  };
}

/** Of repositories that are mirrored, all of them; the test opens them by itself. */
export function mirroredNames(
  names: readonly string[],
  mayPull: HeldRepositoriesOptions['mirrored']['mayPull'],
): HeldRepositoriesOptions {
  return {
    records: {
      allNames: async () => names,
      look: () => Promise.reject(new Error('expected no record to be looked up')),
    },
    mirrored: { mayPull, visibilityOf: async () => 'public' },
    log: { names: () => [], readRepository: async () => undefined },
    logsRead: Promise.resolve(),
    isHosted: () => false,
    isOpen: () => false,
  };
}
