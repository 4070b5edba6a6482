/** Our own pages of a list that is held whole. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { byTag, byText, cutPage } from '../../../../src/cached/lists/page-cut.ts';

const sorted = ['a', 'B', 'b', 'c'];

test.each<[string, { n?: number; last?: string }, ReturnType<typeof cutPage>]>([
  ['everything', {}, { entries: sorted }],
  ['the first two', { n: 2 }, { entries: ['a', 'B'], next: { last: 'B', n: 2 } }],
  ['what is left, without a next page', { n: 2, last: 'B' }, { entries: ['b', 'c'] }],
  ['nothing and no next page for n=0', { n: 0 }, { entries: [] }],
  ['what comes after a last that is gone', { last: 'bb' }, { entries: ['c'] }],
  ['nothing after the end', { n: 2, last: 'z' }, { entries: [] }],
  ['no more than there is', { n: 4 }, { entries: sorted }],
])('%s', (_name, page, expected) => {
  expect(cutPage(sorted, byTag, page)).toEqual(expected);
});

test('following the pages gives every entry once and in order, whatever n is', () => {
  const tags = fc.uniqueArray(fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,4}$/));
  fc.assert(
    fc.property(tags, fc.integer({ min: 1, max: 5 }), fc.constantFrom(byTag, byText), (list, n, order) => {
      const whole = [...list].sort(order);
      const seen: string[] = [];
      let page = cutPage(whole, order, { n });
      seen.push(...page.entries);
      while (page.next !== undefined) {
        page = cutPage(whole, order, page.next);
        expect(page.entries.length).toBeGreaterThan(0);
        seen.push(...page.entries);
      }
      expect(seen).toEqual(whole);
    }),
  );
});
