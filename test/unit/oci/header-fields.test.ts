/** Guards src/oci/header-fields.ts. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { buildEndpoint } from '../../../src/oci/endpoint.ts';
import {
  formatNextLink,
  formatQuoted,
  formatWarning,
  parseNextLink,
  scanQuoted,
} from '../../../src/oci/header-fields.ts';
import { titled } from '../../support/titles.ts';
import { repositories, tags } from './arbitraries.ts';

const printable = fc.string({ unit: 'grapheme-ascii' });

describe('quoted string', () => {
  test('ends at its own closing quote', () => {
    expect(scanQuoted('x="a,\\"b\\\\";y', 2)).toEqual({ value: 'a,"b\\', end: 11 });
    expect(scanQuoted('""', 0)).toEqual({ value: '', end: 2 });
  });

  test.each(['', 'a', '"', '"a', '"a\\"', '"a\\'])('%j is none', text => {
    expect(scanQuoted(text, 0)).toBeUndefined();
  });

  test('what is formatted is read back as it was, wherever it stands', () => {
    fc.assert(
      fc.property(printable, printable, printable, (before, text, after) => {
        const quoted = formatQuoted(text);
        expect(scanQuoted(before + quoted + after, before.length)).toEqual({
          value: text,
          end: before.length + quoted.length,
        });
      }),
    );
  });

  test('what a header cannot carry is replaced', () => {
    expect(formatQuoted('a\r\nb\0c\u{1f433}ü')).toBe('"a  b c??"');
    fc.assert(fc.property(fc.string({ unit: 'binary' }), text => /^[ -~]*$/.test(formatQuoted(text))));
  });

  test('a bound holds, and no escape is cut in two', () => {
    expect(formatQuoted('a"b', 5)).toBe('"a\\""');
    expect(formatQuoted('a"b', 4)).toBe('"a"');
    fc.assert(
      fc.property(printable, fc.integer({ min: 2, max: 20 }), (text, bound) => {
        const quoted = formatQuoted(text, bound);
        expect(quoted.length).toBeLessThanOrEqual(bound);
        expect(scanQuoted(quoted, 0)?.end).toBe(quoted.length);
      }),
    );
  });
});

describe('Warning', () => {
  test('has the form of the specification, with quotes escaped', () => {
    expect(formatWarning('held since "noon"')).toBe('299 - "held since \\"noon\\""');
  });

  test('is always one header line of at most 4096 bytes', () => {
    expect(formatWarning('"'.repeat(10_000))).toHaveLength(4096);
    expect(formatWarning('x'.repeat(10_000))).toHaveLength(4096);
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), text => /^299 - "[ -~]*"$/.test(formatWarning(text))),
    );
  });
});

describe('Link', () => {
  test.each(
    titled([
      ['</v2/x/tags/list?n=2&last=b>; rel="next"', '/v2/x/tags/list?n=2&last=b'],
      ['<u>;rel=next', 'u'],
      ['<u> ; REL = NEXT', 'u'],
      ['<u>; rel="last next"', 'u'],
      ['<u>; title="a, b; rel=prev"; rel="next"', 'u'],
      ['<u>; title="\\"; rel=next', undefined],
      ['<p>; rel="prev", <u>; rel="next"', 'u'],
      ['<p>; title="<x>; rel=next", <u>; rel="next"', 'u'],
      ['<p>; rel=prev; rel=next', undefined],
      ['<u>, <v>; rel=next', 'v'],
      [
        '<https://r.example/v2/x/tags/list?last=a,b>; rel="next"',
        'https://r.example/v2/x/tags/list?last=a,b',
      ],
      ['<>; rel="next"', ''],
      ['<u>; rel="nextish"', undefined],
      ['<u>; norel="next"', undefined],
      ['<u>', undefined],
      ['<u; rel="next"', undefined],
      ['u; rel="next"', undefined],
      ['', undefined],
      [undefined, undefined],
    ]),
  )('the next page: %s', (_title, [header, expected]) => {
    expect(parseNextLink(header)).toBe(expected);
  });

  test('what is formatted is read back as it was', () => {
    const lasts = fc.oneof(tags, fc.string({ minLength: 1, unit: 'binary' }));
    fc.assert(
      fc.property(repositories, fc.nat(1000), lasts, fc.boolean(), (name, n, last, between) => {
        const url = buildEndpoint({ kind: 'tags', name, n, last });
        const header = between
          ? `<x>; rel="prev", ${formatNextLink(url)}, <y>; rel="last"`
          : formatNextLink(url);
        expect(parseNextLink(header)).toBe(url);
      }),
    );
  });

  test('a URL cannot break out of its brackets', () => {
    expect(formatNextLink('/x>; rel="prev"\r\n')).toBe('</x%3E;%20rel="prev"%20%20>; rel="next"');
  });
});
