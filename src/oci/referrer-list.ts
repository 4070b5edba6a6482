/** A list of referrers (OCI distribution-spec end-12) as an image index. Entries stay as they came; unknown fields are kept. */
import { ociIndex } from './media-type.ts';

export interface ReferrersIndex {
  readonly manifests: readonly unknown[];
}

/** Nothing refers to it: an answer with 200, never a 404. */
export function emptyReferrers(): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests: [] }));
}

/** Undefined for bytes that aren't JSON or have no list of manifests. */
export function parseReferrers(bytes: Buffer): ReferrersIndex | undefined {
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

function artifactTypeOf(entry: unknown): unknown {
  return typeof entry === 'object' && entry !== null && 'artifactType' in entry
    ? entry.artifactType
    : undefined;
}
