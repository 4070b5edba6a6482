/**
 * No header, body or URL of a client or an upstream may throw anything but a `RegistryError`, and none may keep the process busy:
 * the long texts are made so that a pattern that goes back and forth would run far past the test's deadline.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseChallenges } from '../../../src/oci/challenge.ts';
import { parseDigest } from '../../../src/oci/digest.ts';
import { parseEndpoint } from '../../../src/oci/endpoint.ts';
import { parseErrorBody, RegistryError } from '../../../src/oci/error.ts';
import { formatQuoted, formatWarning, parseNextLink, scanQuoted } from '../../../src/oci/header-fields.ts';
import { parseManifest } from '../../../src/oci/manifest.ts';
import { isDistributable, isManifestType } from '../../../src/oci/media-type.ts';
import { canonicalHost, isRawName, parseReference, parseRepository } from '../../../src/oci/name.ts';
import { parseContentRange, parseRange } from '../../../src/oci/range.ts';
import { parseRateLimit, parseRetryAfter } from '../../../src/oci/rate-limit.ts';

const parsers: readonly [name: string, parse: (text: string) => unknown][] = [
  ['parseDigest', parseDigest],
  ['parseRepository', parseRepository],
  ['parseReference', parseReference],
  ['isRawName', isRawName],
  ['canonicalHost', canonicalHost],
  ['parseEndpoint', text => parseEndpoint('GET', `/v2/${text}`)],
  ['parseEndpoint of a query', text => parseEndpoint('GET', `/v2/x/tags/list?${text}`)],
  ['parseEndpoint of an absolute target', text => parseEndpoint('GET', `http://${text}`)],
  ['parseRange', text => parseRange(`bytes=${text}`)],
  ['parseContentRange', text => parseContentRange(`bytes ${text}`)],
  ['parseNextLink', text => parseNextLink(`<x>${text}`)],
  ['parseNextLink of anything', parseNextLink],
  ['parseChallenges', text => parseChallenges(`Bearer ${text}`)],
  ['parseChallenges of anything', parseChallenges],
  ['scanQuoted', text => scanQuoted(`"${text}`, 0)],
  ['formatQuoted', text => formatQuoted(text)],
  ['formatWarning', formatWarning],
  ['parseRateLimit', text => parseRateLimit({ 'ratelimit-limit': text, 'docker-ratelimit-source': text })],
  ['parseRetryAfter', text => parseRetryAfter(text, 0)],
  ['parseRetryAfter of a date', text => parseRetryAfter(`Sun, ${text}`, 0)],
  ['isManifestType', isManifestType],
  ['isDistributable', isDistributable],
  ['parseErrorBody', text => parseErrorBody(Buffer.from(text))],
  ['parseManifest', text => parseManifest(Buffer.from(text), '')],
];

/** The pieces of all grammars at once. */
const texts = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .array(
      fc.oneof(
        fc.constantFrom(...'"\\<>=;,:/?#&%-_. \t\n*[]{}0159axA'),
        fc.constantFrom(
          'rel',
          'next',
          'realm',
          'Bearer',
          'bytes',
          'w',
          'GMT',
          'Sun',
          'ns=',
          '"errors":',
          'manifests/',
        ),
      ),
    )
    .map(pieces => pieces.join('')),
);

/** What it throws that is no RegistryError; undefined when it returns or refuses. */
function breakageOf(parse: (text: string) => unknown, text: string): unknown {
  try {
    parse(text);
    return undefined;
  } catch (error) {
    return error instanceof RegistryError ? undefined : (error ?? 'nothing');
  }
}

const longLength = 2 ** 17;
const units = [
  ...['a', '-', '_', '.', '/', '"', '\\', ' ', '\t', ',', ';', '=', ':', '<', '>', '0', '%', '#', '&', '['],
  ...[
    'a-',
    'a/',
    'a.',
    'a,',
    'a ',
    'a=',
    '0-',
    '0-,',
    '"\\',
    '\\"',
    '",',
    ';"',
    '<>',
    '<>;',
    '<>,',
    '=,',
    ' =',
    ' ;',
  ],
  ...[
    'a="",',
    '<a>;rel="x",',
    'a b,',
    'a b c=',
    '<a>\\"',
    'a=\\",',
    'ns=a&',
    'n=1&',
    '{"a":',
    '[{',
    '0-0, ',
    '\ud83d\udc33',
    '\r\n',
  ],
];
/** Each also with an end at which a match that has come so far fails. */
const longTexts = units.flatMap(unit => {
  const text = unit.repeat(longLength / unit.length);
  return [`${text}!`, `a${text}"`];
});

describe.each(parsers)('%s', (_name, parse) => {
  test('throws nothing but a RegistryError', () => {
    fc.assert(
      fc.property(texts, text => void expect(breakageOf(parse, text)).toBeUndefined()),
      { numRuns: 1000 },
    );
  });

  test('comes to an end on long texts', { timeout: 10_000 }, () => {
    for (const text of longTexts) expect(breakageOf(parse, text)).toBeUndefined();
  });
});
