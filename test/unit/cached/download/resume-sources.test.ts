/** Whose turn it is, by the names of the sources in the order in which they are asked. */
import { expect, test } from 'vitest';
import { SourceList } from '../../../../src/cached/download/resume.ts';
import type { BlobSource } from '../../../../src/registry/registry.ts';
import { bytesBlob } from '../../../support/content.ts';
import { ScriptedSource } from '../rig.ts';

function source(upstream: string, repository = 'library/alpine'): BlobSource {
  return new ScriptedSource(upstream, bytesBlob('x'), [], [], repository);
}

/** Asks in turn; a source in `refusing` says a final no. Ends with `rounds` rounds, or when no source is left. */
function ask(list: SourceList, rounds: number, refusing: readonly BlobSource[] = []): string[] {
  const asked: string[] = [];
  for (let done = 0; done < rounds && !list.exhausted; ) {
    const current = list.current();
    asked.push(current.upstream);
    if (refusing.includes(current)) list.drop(current);
    if (list.next() === 'round') {
      asked.push('|');
      done += 1;
    }
  }
  return asked;
}

test('all are asked in turn, in the order they came', () => {
  expect(ask(new SourceList([source('a'), source('b'), source('c')]), 2).join('')).toBe('abc|abc|');
});

test('one alone is a round each time', () => {
  expect(ask(new SourceList([source('a')]), 3).join('')).toBe('a|a|a|');
});

test.each([
  ['first', [0], 'abc|bc|'],
  ['middle', [1], 'abc|ac|'],
  ['last', [2], 'abc|ab|'],
  ['first two', [0, 1], 'abc|c|'],
  ['last two', [1, 2], 'abc|a|'],
  ['outer two', [0, 2], 'abc|b|'],
  ['all', [0, 1, 2], 'abc|'],
])(
  'when the %s of three say a final no, each of the others is still asked once in that round',
  (_which, refusing, expected) => {
    const sources = [source('a'), source('b'), source('c')];
    const list = new SourceList(sources);
    const dropped = sources.filter((_, index) => refusing.includes(index));
    expect(ask(list, 2, dropped).join('')).toBe(expected);
    expect(list.count).toBe(3 - refusing.length);
  },
);

test('dropping one that is not asked just now does not move the turn', () => {
  const [a, b, c] = [source('a'), source('b'), source('c')];
  const list = new SourceList([a, b, c]);
  list.next();
  list.drop(a);
  expect(list.current()).toBe(b);
  list.drop(c);
  expect(list.current()).toBe(b);
  list.drop(source('d'));
  expect(list.count).toBe(1);
});

test('there is a current one also right after the first was dropped', () => {
  const [a, b] = [source('a'), source('b')];
  const list = new SourceList([a, b]);
  list.drop(a);
  expect(list.current()).toBe(b);
});

test('the same repository of the same upstream is kept once; another repository is another source', () => {
  const list = new SourceList([source('a')]);
  list.add(source('a'));
  expect(list.count).toBe(1);
  list.add(source('a', 'library/busybox'));
  list.add(source('b'));
  expect(list.count).toBe(3);
  expect([list.has('a', 'library/busybox'), list.has('b', 'library/busybox')]).toEqual([true, false]);
});

test('the list of the caller is not changed', () => {
  const sources = [source('a')];
  new SourceList(sources).add(source('b'));
  expect(sources).toHaveLength(1);
});

test('an empty list has no source to ask', () => {
  const list = new SourceList([]);
  expect(list.exhausted).toBe(true);
  expect(() => list.current()).toThrow('the source list is empty');
});

test('the further URLs of a source come right after it, and are kept once with it', () => {
  const list = new SourceList([{ ...source('a'), open: source('a').open, alternatives: [source('A')] }]);
  list.add({ ...source('b'), open: source('b').open, alternatives: [source('B')] });
  list.add({ ...source('a'), open: source('a').open, alternatives: [source('A')] });
  expect(ask(list, 1).join('')).toBe('aAbB|');
});
