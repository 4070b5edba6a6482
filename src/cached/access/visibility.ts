/**
 * What a kept verdict about a repository is still worth: a pure function of the verdict, its age and whether the upstream
 * can be asked (docs/behaviour.md, "Visibility").
 */
import type { VisibilityEntry } from '../../store/records/repository-record.ts';

/** How long a verdict is believed without asking again. */
export const verdictTtlMs = 24 * 3600_000;

/**
 * `unknown`: nobody has found out. `isFresh: false`: to be asked again; until that succeeds the verdict stands.
 */
export type Standing =
  | { readonly verdict: 'public' | 'private'; readonly isFresh: boolean }
  | { readonly verdict: 'unknown'; readonly isFresh: false };

export function standingOf(entry: VisibilityEntry | undefined, now: number): Standing {
  if (entry === undefined) return { verdict: 'unknown', isFresh: false };
  const ageMs = now - entry.checkedAt;
  return { verdict: entry.verdict, isFresh: ageMs >= 0 && ageMs < verdictTtlMs }; // a clock may be set back
}
