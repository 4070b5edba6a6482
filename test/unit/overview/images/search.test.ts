import { expect, test } from 'vitest';
import { parseSearch } from '../../../../src/overview/images/search.ts';

const names = [
  'docker.io/library/alpine',
  'docker.io/library/node',
  'registry.lan:5000/team/app',
  'team/app',
];

test.each([
  [undefined, names],
  ['', names],
  ['ALPINE', ['docker.io/library/alpine']],
  ['library/', ['docker.io/library/alpine', 'docker.io/library/node']],
  ['team/app:1', ['registry.lan:5000/team/app', 'team/app']],
  ['registry.lan:5000', ['registry.lan:5000/team/app']],
  [' node ', ['docker.io/library/node']],
  ['nothing', []],
])('%j finds %j', (text, found) => {
  const search = parseSearch(text);
  expect(names.filter(name => search.matchesRepository(name))).toEqual(found);
});

test('after a colon stands the beginning of a tag', () => {
  const search = parseSearch('alpine:3.2');
  expect(['3.2', '3.20', '13.2', 'latest'].filter(tag => search.matchesTag(tag))).toEqual(['3.2', '3.20']);
  expect([search.isForAll, parseSearch('alpine').isForAll, parseSearch('alpine:').isForAll]).toEqual([
    false,
    true,
    true,
  ]);
});
