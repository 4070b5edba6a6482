/** Collecting a list to its end, or to where that ends early; and cutting our own pages of a whole list. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type GatheringLimits, gatherPages } from '../../../../src/cached/lists/paginate.ts';
import { byTag, byText, cutPage } from '../../../../src/registry/page.ts';
import { Gate } from '../../../support/gates.ts';
import { untilAborted } from '../rig.ts';

const limits: GatheringLimits = { maxPages: 4, maxMs: 60_000, maxBytes: 100 };
const open = new AbortController().signal;

/** Pages 1, 2, … up to `count`, of ten bytes each. */
function numbered(count: number, asked: (number | undefined)[] = []) {
  return {
    asked,
    ask: async (after: number | undefined, _signal: AbortSignal) => {
      asked.push(after);
      return (after ?? 0) + 1;
    },
    leadsTo: (page: number) => (page < count ? `page=${page + 1}` : undefined),
    markOf: (page: number) => String(page),
    bytesOf: () => 10,
  };
}

test.each<[string, number, Partial<GatheringLimits>, object]>([
  ['one page', 1, {}, { pages: [1], end: 'whole' }],
  ['as many as may be', 4, {}, { pages: [1, 2, 3, 4], end: 'whole' }],
  ['one more than may be', 5, {}, { pages: [1, 2, 3, 4], end: 'long' }],
  ['more bytes than may be', 3, { maxBytes: 19 }, { pages: [1, 2], end: 'long' }],
])('%s', async (_name, count, bounds, expected) => {
  expect(await gatherPages(numbered(count), { ...limits, ...bounds }, open)).toEqual(expected);
});

test('each page is asked for with the one before it', async () => {
  const source = numbered(3);
  await gatherPages(source, limits, open);
  expect(source.asked).toEqual([undefined, 1, 2]);
});

test('when the time is over, a page that is not the first is given up', async () => {
  const source = numbered(3);
  const ask = async (after: number | undefined, signal: AbortSignal) =>
    after === undefined ? source.ask(after, signal) : untilAborted(signal);
  expect(await gatherPages({ ...source, ask }, { ...limits, maxMs: 1 }, open)).toEqual({
    pages: [1],
    end: 'slow',
  });
});

test('the first page may take longer; then the list is slow unless that was all', async () => {
  for (const [count, end] of [
    [1, 'whole'],
    [2, 'slow'],
  ] as const) {
    const gate = new Gate();
    const source = numbered(count);
    const ask = async (after: number | undefined, signal: AbortSignal) => {
      setTimeout(() => gate.release(), 20); // set after a timer of 1 ms: comes after it
      await gate.pass();
      return source.ask(after, signal);
    };
    expect(await gatherPages({ ...source, ask }, { ...limits, maxMs: 1 }, open)).toEqual({ pages: [1], end });
  }
});

test('a failure is the caller’s, and so is the end of the signal', async () => {
  const failed = new Error('no');
  const ask = async (after: number | undefined) => {
    if (after === 1) throw failed;
    return 1;
  };
  await expect(gatherPages({ ...numbered(3), ask }, limits, open)).rejects.toBe(failed);
  const stop = new AbortController();
  const reason = new Error('shutting down');
  const waiting = gatherPages(
    { ...numbered(3), ask: (_after, signal) => untilAborted(signal) },
    limits,
    stop.signal,
  );
  stop.abort(reason);
  await expect(waiting).rejects.toBe(reason);
});

test('pages that lead back to one of them are a whole list', async () => {
  const source = numbered(100);
  const leadsTo = (page: number) => `page=${(page % 3) + 1}`;
  expect(await gatherPages({ ...source, leadsTo }, { ...limits, maxPages: 20 }, open)).toEqual({
    pages: [1, 2, 3, 4],
    end: 'whole',
  });
  expect(source.asked).toHaveLength(4);
});

test('a page with the entries of an earlier one, under a new query, ends the list and is left out', async () => {
  const source = numbered(100);
  const markOf = (page: number) => String(page % 2);
  expect(await gatherPages({ ...source, markOf }, limits, open)).toEqual({ pages: [1, 2], end: 'whole' });
  expect(source.asked).toHaveLength(3);
});

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
