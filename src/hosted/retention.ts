/**
 * `hosted.retention`: which tags of a repository stay, and which rule says so. A pure function of the tags, the rules and the time. The
 * first rule that matches a tag decides; without one it stays. What is immutable or pinned always stays, and takes no place of `newest`.
 */
import type { Digest } from '../oci/digest.ts';
import { allowRepositories, hostRepositories, type Repository, type Tag } from '../oci/name.ts';

/** At least one pattern each. A tag that matches stays while any of `keep` says so. */
export interface RetentionRule {
  readonly repositories: readonly string[];
  readonly tags: readonly string[];
  readonly keep: {
    /** So many of the tags of one repository that this rule decides. */
    readonly newest?: number;
    readonly pushedWithinMs?: number;
    readonly pulledWithinMs?: number;
  };
}

/** Times in milliseconds since the epoch. */
export interface RetainedTag {
  readonly tag: Tag;
  readonly digest: Digest;
  /** The tag was moved, or its manifest pushed again. */
  readonly pushedAt: number;
  /** Its manifest, by any name. Undefined: never. */
  readonly pulledAt?: number;
  readonly isImmutable: boolean;
  readonly isPinned: boolean;
}

/** `expired`: the tag goes. */
export type RetentionReason = 'no rule' | 'immutable' | 'pinned' | 'newest' | 'pushed' | 'pulled' | 'expired';

export interface RetentionDecision {
  readonly tag: Tag;
  readonly digest: Digest;
  readonly keeps: boolean;
  readonly reason: RetentionReason;
  /** Its place in `hosted.retention`, from 0. Undefined: none matches. */
  readonly rule?: number;
}

export class Retention {
  readonly #rules: readonly {
    readonly keep: RetentionRule['keep'];
    hasRepository(name: string): boolean;
    hasTag(tag: string): boolean;
  }[];

  constructor(rules: readonly RetentionRule[]) {
    this.#rules = rules.map(({ repositories, tags, keep }) => ({
      keep,
      hasRepository: hostRepositories(repositories),
      hasTag: allowRepositories(tags, []), // a tag has no slash: `*` stands for any part of it
    }));
  }

  /** False: no tag of that repository ever goes. */
  concerns(name: Repository): boolean {
    return this.#rules.some(rule => rule.hasRepository(name));
  }

  /** One decision for each tag, in the order of the tags. `now` in milliseconds since the epoch. */
  decide(name: Repository, tags: readonly RetainedTag[], now: number): readonly RetentionDecision[] {
    const rules = this.#rules.map((rule, index) => ({ ...rule, index, isFor: rule.hasRepository(name) }));
    const ranks = rules.map(() => 0);
    const decisions = new Map<Tag, RetentionDecision>();
    for (const held of [...tags].sort(newestFirst)) {
      const { tag, digest } = held;
      const rule = rules.find(({ isFor, hasTag }) => isFor && hasTag(tag));
      const found = { tag, digest, ...(rule !== undefined && { rule: rule.index }) };
      const reason = rule === undefined ? 'no rule' : (shelterOf(held) ?? reasonOf(held, rule, ranks, now));
      decisions.set(tag, { ...found, reason, keeps: reason !== 'expired' });
    }
    return tags.flatMap(({ tag }) => decisions.get(tag) ?? []);
  }
}

function shelterOf({ isImmutable, isPinned }: RetainedTag): 'immutable' | 'pinned' | undefined {
  if (isImmutable) return 'immutable';
  return isPinned ? 'pinned' : undefined;
}

/** Counts the tag in `ranks`. */
function reasonOf(
  { pushedAt, pulledAt }: RetainedTag,
  { index, keep }: { readonly index: number; readonly keep: RetentionRule['keep'] },
  ranks: number[],
  now: number,
): RetentionReason {
  const rank = ranks[index] ?? 0;
  ranks[index] = rank + 1;
  if (rank < (keep.newest ?? 0)) return 'newest';
  if (keep.pushedWithinMs !== undefined && now - pushedAt <= keep.pushedWithinMs) return 'pushed';
  const isPulled = pulledAt !== undefined && now - pulledAt <= (keep.pulledWithinMs ?? -1);
  return isPulled ? 'pulled' : 'expired';
}

function newestFirst(a: RetainedTag, b: RetainedTag): number {
  return b.pushedAt - a.pushedAt || (a.tag < b.tag ? -1 : 1);
}
