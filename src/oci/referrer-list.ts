/** A list of referrers (OCI distribution-spec end-12) as an image index. Entries stay as they came; unknown fields are kept. */
import { type Digest, isDigest } from './digest.ts';
import { ociIndex } from './media-type.ts';
import type { Tag } from './name.ts';

export interface ReferrersIndex {
  readonly manifests: readonly unknown[];
}

/** Nothing refers to it: an answer with 200, never a 404. */
export function emptyReferrers(): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests: [] }));
}

/**
 * The digest that a tag of the fallback schema is about (OCI distribution-spec "Referrers Tag Schema"), and what stands after
 * it: nothing in `sha256-HEX`, the list of referrers; `.sig` and the like in cosign's tags. Undefined: another tag.
 */
export function parseReferrersTag(
  tag: Tag,
): { readonly subject: Digest; readonly suffix: string } | undefined {
  const [, algorithm, hex, suffix = ''] = /^(sha256|sha512)-([a-f0-9]+)(\.[\w.-]+)?$/.exec(tag) ?? [];
  const subject = `${algorithm}:${hex}`;
  return isDigest(subject) ? { subject, suffix } : undefined;
}

/** Deeper than any list of descriptors. Writing JSON takes a frame of the stack for each level, reading it does not. */
const maxDepth = 64;

/** Undefined for bytes that aren't JSON, have no list of manifests, or are nested without end. */
export function parseReferrers(bytes: Buffer): ReferrersIndex | undefined {
  if (isTooDeep(bytes)) return undefined;
  let index: unknown;
  try {
    index = JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined; // the caller says what it expected
  }
  if (typeof index !== 'object' || index === null || !('manifests' in index)) return undefined;
  const { manifests } = index;
  return Array.isArray(manifests) ? { ...index, manifests } : undefined;
}

/** The pages of one list as one: the fields of the first, the entries of all. */
export function joinReferrers(pages: readonly ReferrersIndex[]): Buffer {
  const manifests = pages.flatMap(page => page.manifests);
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, ...pages[0], manifests }));
}

export function filterReferrers(index: ReferrersIndex, artifactType: string): Buffer {
  const manifests = index.manifests.filter(entry => artifactTypeOf(entry) === artifactType);
  return Buffer.from(JSON.stringify({ ...index, manifests }));
}

const quote = 0x22;
const backslash = 0x5c;

function isTooDeep(bytes: Buffer): boolean {
  let depth = 0;
  let isInString = false;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === backslash)
      at += 1; // only strings have one
    else if (byte === quote) isInString = !isInString;
    else if (!isInString && (byte === 0x5b || byte === 0x7b) && ++depth > maxDepth) return true;
    else if (!isInString && (byte === 0x5d || byte === 0x7d)) depth -= 1;
  }
  return false;
}

function artifactTypeOf(entry: unknown): unknown {
  return typeof entry === 'object' && entry !== null && 'artifactType' in entry
    ? entry.artifactType
    : undefined;
}
