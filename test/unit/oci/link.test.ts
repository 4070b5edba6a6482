import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { buildEndpoint } from '../../../src/oci/endpoint.ts';
import { formatNextLink, parseNextLink } from '../../../src/oci/link.ts';
import { repositories, tags } from './arbitraries.ts';

describe('Link', () => {
  test.each([
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
    ['<https://r.example/v2/x/tags/list?last=a,b>; rel="next"', 'https://r.example/v2/x/tags/list?last=a,b'],
    ['<>; rel="next"', ''],
    ['<u>; rel="nextish"', undefined],
    ['<u>; norel="next"', undefined],
    ['<u>', undefined],
    ['<u; rel="next"', undefined],
    ['u; rel="next"', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('the next page of %j is %j', (header, expected) => {
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
