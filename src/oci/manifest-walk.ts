/**
 * The one walk over manifest graphs: from roots to all manifests below them, each read once however often it is named, in
 * turns of a few milliseconds, and within limits (docs/behaviour.md, "Limits"). What lies beyond the limits counts as not held.
 */
import { TimeSlice } from '../lib/time-slice.ts';
import type { Digest } from './digest.ts';
import { isBlobChild } from './image-needs.ts';
import type { ParsedManifest } from './manifest.ts';

export const walkLimits = {
  /** Of indexes in indexes; a root has depth 0. */
  depth: 8,
  manifests: 10_000,
  /** Configs, layers and children that the manifests name, counted as often as they are named. */
  descriptors: 500_000,
} as const;

interface NamedManifest {
  readonly digest: Digest;
  readonly mediaType: string;
}

export interface VisitedManifest<Found> {
  readonly named: NamedManifest;
  /** Undefined: not held, no manifest, or beyond the limits. */
  readonly found: Found | undefined;
}

/** The roots first, then by depth. Errors: those of `read`. */
export async function* walkManifests<Found extends { readonly parsed: ParsedManifest }>(
  roots: Iterable<NamedManifest>,
  read: (named: NamedManifest) => Promise<Found | undefined>,
): AsyncGenerator<VisitedManifest<Found>, void, void> {
  const slice = new TimeSlice();
  const seen = new Set<Digest>();
  const budget = new WalkBudget();
  let level: NamedManifest[] = [...roots];
  for (let depth = 0; level.length > 0; depth += 1) {
    const below: NamedManifest[] = [];
    for (const named of level) {
      await slice.pause();
      if (seen.has(named.digest)) continue;
      seen.add(named.digest);
      const found = depth <= walkLimits.depth && budget.hasRoom ? await read(named) : undefined;
      if (found !== undefined && budget.take(found.parsed)) {
        for (const child of found.parsed.manifests)
          if (!isBlobChild(child) && !seen.has(child.digest)) below.push(child);
        yield { named, found };
      } else {
        yield { named, found: undefined };
      }
    }
    level = below;
  }
}

/** How much of a graph may be looked at. */
export class WalkBudget {
  #manifests: number = walkLimits.manifests;
  #descriptors: number = walkLimits.descriptors;

  get hasRoom(): boolean {
    return this.#manifests > 0;
  }

  /** False: it would go beyond the limits, and is not to be followed. */
  take({ layers, manifests }: ParsedManifest): boolean {
    const count = 1 + layers.length + manifests.length;
    if (this.#manifests === 0 || count > this.#descriptors) return false;
    this.#manifests -= 1;
    this.#descriptors -= count;
    return true;
  }
}
