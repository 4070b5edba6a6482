/**
 * Validators (RFC 9110 13). Content is named by its digest, so the entity tag is the quoted digest: strong, and known
 * before any byte was read. There are no modification dates here; conditions on dates never hold.
 */
import type { Digest } from '../../oci/digest.ts';

export function formatEntityTag(digest: Digest): string {
  return `"${digest}"`;
}

/**
 * Whether `If-None-Match` names this content, so that the answer is 304 (RFC 9110 13.1.2). Weak comparison: `W/` makes
 * no difference. `*` means anything at all.
 */
export function isNotModified(ifNoneMatch: string | undefined, digest: Digest): boolean {
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch.trim() === '*') return true;
  const wanted = formatEntityTag(digest);
  return splitEntityTags(ifNoneMatch).some(tag => tag === wanted);
}

/**
 * Whether a `Range` counts (RFC 9110 13.1.5): without `If-Range` yes, else only when it holds the one strong tag of this
 * content. A weak tag and a date never match.
 */
export function isRangeCurrent(ifRange: string | undefined, digest: Digest): boolean {
  return ifRange === undefined || ifRange.trim() === formatEntityTag(digest);
}

/** A client that wants to hear the upstream: `no-cache` or `max-age=0` (RFC 9111 5.2.1). */
export function mustCheck(cacheControl: string | undefined): boolean {
  if (cacheControl === undefined) return false;
  return cacheControl.split(',').some(part => /^\s*(?:no-cache|max-age\s*=\s*"?0+"?)\s*$/i.test(part));
}

/** The opaque tags of a list, without their `W/`. What isn't a tag is left out. */
function splitEntityTags(list: string): string[] {
  return [...list.matchAll(/(?:^|,)\s*(?:W\/)?("[^"]*")\s*(?=,|$)/g)].map(match => match[1] ?? '');
}
