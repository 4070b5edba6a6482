import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isNotModified, isRangeCurrent, mustCheck } from '../../../../src/http/v2/headers.ts';
import { digestOf } from '../../../../src/oci/digest.ts';
import { titled } from '../../../support/titles.ts';

const digest = digestOf(Buffer.from('content'));
const other = digestOf(Buffer.from('other'));

describe('If-None-Match', () => {
  it.each(
    titled([
      [undefined, false],
      ['', false],
      ['*', true],
      [' * ', true],
      [`"${digest}"`, true],
      [`W/"${digest}"`, true],
      [`"${other}", W/"${digest}"`, true],
      [`"a,b","${digest}"`, true],
      [`"${other}"`, false],
      [digest, false],
      [`"${digest}`, false],
      [`"x${digest}"`, false],
      [`"a, "${digest}"", "b"`, false],
    ]),
  )('%s', (_title, [header, expected]) => {
    expect(isNotModified(header, digest)).toBe(expected);
  });

  it('finds a tag wherever it stands in a list, and nothing that is not in it', () => {
    const tag = fc.stringMatching(/^[a-z0-9,: ]{0,20}$/);
    fc.assert(
      fc.property(fc.array(tag), fc.nat(), fc.boolean(), fc.boolean(), (others, place, isWeak, isIn) => {
        const list = others.map(one => `"${one}"`);
        if (isIn) list.splice(place % (list.length + 1), 0, `${isWeak ? 'W/' : ''}"${digest}"`);
        expect(isNotModified(list.join(', '), digest)).toBe(isIn);
      }),
    );
  });
});

describe('If-Range', () => {
  it('holds for the one strong tag alone', () => {
    const values = [undefined, `"${digest}"`, `W/"${digest}"`, `"${other}"`, '*', `"${other}", "${digest}"`];
    expect(values.map(value => isRangeCurrent(value, digest))).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
  });
});

describe('Cache-Control of a request', () => {
  it.each([
    ['no-cache', true],
    ['NO-CACHE', true],
    ['max-age=0', true],
    ['max-age = "00"', true],
    ['only-if-cached, no-cache', true],
    ['max-age=01', false],
    ['no-store', false],
    ['x-no-cache', false],
    [undefined, false],
  ])('%s forces a check: %s', (header, expected) => {
    expect(mustCheck(header)).toBe(expected);
  });
});
