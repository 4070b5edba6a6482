/** Addresses of views: what the address bar says, and back. */
import fc from 'fast-check';
import { expect, it, test } from 'vitest';
import { formatRoute, isInView, navigation, parseRoute, titleOf } from '../../../../src/ui/text/route.ts';

it.each([
  ['/ui/', '', 'overview'],
  ['/ui', '', 'missing'],
  ['/ui/index.html', '', 'overview'],
  ['/ui/images', '?q=alpine', 'images'],
  ['/ui/images/', '', 'images'],
  ['/ui/missing', '', 'missing'],
  ['/ui/constructor', '', 'missing'],
  ['/ui/nosuch', '', 'missing'],
  ['/other', '', 'missing'],
])('%s%s is the view %s', (path, search, view) => {
  expect(parseRoute(path, search).view).toBe(view);
});

it('keeps names of images readable', () => {
  const address = formatRoute('image', { name: 'docker.io/library/alpine:3.20', platform: '' });
  expect(address).toBe('/ui/image?name=docker.io/library/alpine:3.20');
});

test('what is formatted is parsed again, whatever is in the query', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...navigation.map(({ view }) => view)),
      fc.dictionary(fc.string({ minLength: 1 }), fc.string({ minLength: 1 })),
      (view, query) => {
        const url = new URL(formatRoute(view, query), 'http://mirror.lan');
        const parsed = parseRoute(url.pathname, url.search);
        expect(parsed.view).toBe(view);
        expect(Object.entries(parsed.query)).toEqual(Object.entries(query));
      },
    ),
  );
});

it('names the image first in the title', () => {
  expect(titleOf(parseRoute('/ui/image', '?name=team/app:1'))).toBe('team/app:1 · Cistern');
  expect(titleOf(parseRoute('/ui/', ''))).toBe('Overview · Cistern');
});

it('counts the page of an image as a part of the list', () => {
  const image = parseRoute('/ui/image', '?name=team/app:1');
  expect(navigation.filter(({ view }) => isInView(image, view)).map(({ label }) => label)).toEqual([
    'Images',
  ]);
});
