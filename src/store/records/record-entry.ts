/**
 * What the lines of a record say. Line types of later versions are kept as they are by a compaction of one that doesn't
 * know them.
 */

import { type Digest, isDigest } from '../../oci/digest.ts';
import { type Descriptor, parseDescriptor } from '../../oci/manifest.ts';
import { isTag, type Reference, type Tag } from '../../oci/name.ts';

export type RecordEntry =
  | { readonly type: 'tag'; readonly tag: Tag; readonly descriptor: Descriptor; readonly checkedAt: number }
  | { readonly type: 'untag'; readonly tag: Tag }
  | { readonly type: 'manifest'; readonly descriptor: Descriptor }
  | { readonly type: 'forget'; readonly digest: Digest }
  | { readonly type: 'link'; readonly digest: Digest }
  | { readonly type: 'unlink'; readonly digest: Digest }
  | { readonly type: 'pin' | 'unpin'; readonly reference: Reference }
  | { readonly type: 'visibility'; readonly verdict: RepositoryVisibility; readonly checkedAt: number };

/** Whether the upstream gives a repository to anybody, or only to those with its credentials. */
export type RepositoryVisibility = 'public' | 'private';

/** `foreign`: well-formed, of a type that this version doesn't know. Undefined: nonsense. */
export function parseRecordEntry(value: unknown): RecordEntry | 'foreign' | undefined {
  if (!isObject(value) || typeof value['type'] !== 'string') return undefined;
  const { type, tag, digest, reference, checkedAt } = value;
  const descriptor = parseDescriptor(value['descriptor']);
  switch (type) {
    case 'tag': {
      if (typeof tag !== 'string' || !isTag(tag) || descriptor === undefined || typeof checkedAt !== 'number')
        return undefined;
      return { type, tag, descriptor, checkedAt };
    }
    case 'untag':
      return typeof tag === 'string' && isTag(tag) ? { type, tag } : undefined;
    case 'manifest':
      return descriptor === undefined ? undefined : { type, descriptor };
    case 'forget':
    case 'link':
    case 'unlink':
      return typeof digest === 'string' && isDigest(digest) ? { type, digest } : undefined;
    case 'pin':
    case 'unpin':
      return isReference(reference) ? { type, reference } : undefined;
    case 'visibility': {
      const { verdict } = value;
      if ((verdict !== 'public' && verdict !== 'private') || typeof checkedAt !== 'number') return undefined;
      return { type, verdict, checkedAt };
    }
    default:
      return 'foreign';
  }
}

function isReference(value: unknown): value is Reference {
  return typeof value === 'string' && (isDigest(value) || isTag(value));
}

/** Only the keys that occur in a record's lines. */
interface LineObject {
  readonly type?: unknown;
  readonly tag?: unknown;
  readonly digest?: unknown;
  readonly reference?: unknown;
  readonly checkedAt?: unknown;
  readonly verdict?: unknown;
  readonly descriptor?: unknown;
}

function isObject(value: unknown): value is LineObject {
  return typeof value === 'object' && value !== null;
}
