/** The search: order, marks, and what the server is asked. */
import { expect, it } from 'vitest';
import { longestWord, markFound, rankNames } from '../../../../src/ui/text/search.ts';

const names = [
  'docker.io/grafana/grafana',
  'docker.io/library/alpine',
  'ghcr.io/alpine-tools/box',
  'quay.io/x/my-alpine',
  'docker.io/library/alpine-git',
  'docker.io/library/nginx',
];
const rank = (query: string) => rankNames(names, name => name, query);

it('puts the whole last segment first, then its beginning, then other segments, then the rest', () => {
  expect(rank('alpine')).toEqual([
    'docker.io/library/alpine',
    'docker.io/library/alpine-git',
    'ghcr.io/alpine-tools/box',
    'quay.io/x/my-alpine',
  ]);
});

it('wants every word, in any order and any case', () => {
  expect(rank('GRAFANA docker')).toEqual(['docker.io/grafana/grafana']);
  expect(rank('docker grafana nosuch')).toEqual([]);
});

it('leaves all as they are without a word', () => {
  expect(rank('  ')).toEqual(names);
});

it('asks the server for the longest word', () => {
  expect(longestWord(' io Library al')).toBe('library');
  expect(longestWord('')).toBe('');
});

it.each([
  ['docker.io/library/alpine', 'alp', 'docker.io/library/[alp]ine'],
  ['docker.io/library/alpine', 'PINE lib', 'docker.io/[lib]rary/al[pine]'],
  ['abcdef', 'bcd cde', 'a[bcde]f'],
  ['abc', 'x', 'abc'],
  ['abc', 'abc', '[abc]'],
])('marks in %s what %s finds', (name, query, marked) => {
  const parts = markFound(name, query);
  expect(
    parts
      .map(({ text, isFound }) => (isFound ? `[${text}]` : text))
      .join('')
      .replaceAll('][', ''),
  ).toBe(marked);
});
