import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import {
  algorithmOf,
  createDigester,
  digestOf,
  finishDigest,
  hexOf,
  isDigest,
  parseDigest,
} from '../../../src/oci/digest.ts';
import { titled } from '../../support/titles.ts';

const sha256 = `sha256:${'0a'.repeat(32)}`;
const sha512 = `sha512:${'0a'.repeat(64)}`;

describe('digest', () => {
  test.each(titled([sha256, sha512]))('accepts %s', (_title, text) => {
    expect(parseDigest(text)).toBe(text);
  });

  test.each([
    ['', 'nothing'],
    ['sha256:', 'no hex'],
    ['sha256:baddigeststring', 'no hex digits'],
    [sha256.slice(0, -1), 'a digit too few'],
    [`${sha256}0`, 'a digit too many'],
    [`sha256:${'0A'.repeat(32)}`, 'upper case'],
    [`SHA256:${'0a'.repeat(32)}`, 'upper case algorithm'],
    [`sha512:${'0a'.repeat(32)}`, 'the length of another algorithm'],
    [`md5:${'0a'.repeat(16)}`, 'an unknown algorithm'],
    [`${sha256}\n`, 'a line end'],
    [`sha256:../${'0a'.repeat(31)}`, 'a path'],
  ])('refuses %j (%s)', text => {
    expect(isDigest(text)).toBe(false);
    expect(() => parseDigest(text)).toThrow(expect.objectContaining({ code: 'DIGEST_INVALID', status: 400 }));
  });

  test('takes itself apart', () => {
    expect([algorithmOf(parseDigest(sha256)), hexOf(parseDigest(sha256))]).toEqual([
      'sha256',
      '0a'.repeat(32),
    ]);
    expect([algorithmOf(parseDigest(sha512)), hexOf(parseDigest(sha512))]).toEqual([
      'sha512',
      '0a'.repeat(64),
    ]);
  });

  test.each(['sha256', 'sha512'] as const)('is the same from whole bytes and from pieces (%s)', algorithm => {
    const expected = `${algorithm}:${createHash(algorithm).update('abc').digest('hex')}`;
    const digester = createDigester(algorithm).update('a').update('bc');
    expect(finishDigest(algorithm, digester)).toBe(expected);
    expect(digestOf(Buffer.from('abc'), algorithm)).toBe(expected);
  });
});
