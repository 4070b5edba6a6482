/** Generators of valid names for property tests. They are built from the grammar of the specification, not from our patterns. */
import fc from 'fast-check';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseRepository, parseTag } from '../../../src/oci/name.ts';

const alphanumeric = fc.string({ unit: fc.constantFrom(...'abcxyz0189'), minLength: 1, maxLength: 6 });
const separator = fc.constantFrom('.', '_', '__', '-', '--', '---');
/** The words of the API are good segments too, and the ones a parser stumbles over. */
const apiWord = fc.constantFrom(
  'manifests',
  'blobs',
  'uploads',
  'tags',
  'list',
  'referrers',
  'v2',
  'library',
);

const segment = fc.oneof(
  apiWord,
  alphanumeric,
  fc.tuple(alphanumeric, separator, alphanumeric).map(parts => parts.join('')),
);

export const repositories = fc
  .array(segment, { minLength: 1, maxLength: 5 })
  .map(segments => parseRepository(segments.join('/')));

export const tags = fc
  .tuple(
    fc.constantFrom(...'abzAZ09_'),
    fc.string({ unit: fc.constantFrom(...'abzAZ09_.-'), maxLength: 127 }),
  )
  .map(([first, rest]) => parseTag(first + rest));

export const digests = fc
  .tuple(fc.uint8Array({ maxLength: 8 }), fc.constantFrom('sha256' as const, 'sha512' as const))
  .map(([bytes, algorithm]) => digestOf(bytes, algorithm));

const host = fc.constantFrom(
  'localhost',
  'localhost:5000',
  '127.0.0.1:80',
  'ghcr.io',
  'my-reg.example:65535',
);

/** As it stands in a URL: with a host in front, or without. */
export const rawNames = fc.oneof(
  repositories.map(String),
  fc.tuple(host, repositories).map(parts => parts.join('/')),
);
