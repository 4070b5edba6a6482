/** Guards src/registry/caller.ts: repository patterns of the configuration. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { allowRepositories } from '../../../src/oci/name.ts';

test.each<[pattern: string, repository: string, matches: boolean]>([
  ['library/alpine', 'library/alpine', true],
  ['library/alpine', 'library/alpine2', false],
  ['library/alpine', 'my/library/alpine', false],
  ['library/*', 'library/alpine', true],
  ['library/*', 'library/alpine/sub', false],
  ['library/*', 'library', false],
  ['*', 'alpine', true],
  ['*', 'library/alpine', false],
  ['**', 'library/alpine', true],
  ['team/**', 'team/a/b', true],
  ['team/**', 'team', false],
  ['team/**', 'teams/a', false],
  ['*/app', 'team/app', true],
  ['*/app', 'team/sub/app', false],
  ['**/app', 'team/sub/app', true],
  ['team/app-*', 'team/app-1', true],
  ['team/app-*', 'team/app', false],
  ['team/a.b', 'team/a.b', true],
  ['team/a.b', 'team/axb', false],
  ['team/(a|b)+', 'team/a', false],
])('%s on %s: %s', (pattern, repository, matches) => {
  expect(allowRepositories([pattern], [])(repository)).toBe(matches);
  expect(allowRepositories([], [pattern])(repository)).toBe(!matches);
});

test.each<[allow: string[], deny: string[], allowed: string[]]>([
  [[], [], ['library/alpine', 'team/app', 'team/secret']],
  [['library/*', 'team/*'], [], ['library/alpine', 'team/app', 'team/secret']],
  [['library/*'], [], ['library/alpine']],
  [[], ['team/*'], ['library/alpine']],
  [['team/*'], ['team/secret'], ['team/app']],
  [['team/secret'], ['**'], []],
])('allow %j and deny %j let through %j', (allow, deny, allowed) => {
  const isAllowed = allowRepositories(allow, deny);
  expect(['library/alpine', 'team/app', 'team/secret'].filter(isAllowed)).toEqual(allowed);
});

test('a pattern without a star matches its own text alone', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme-ascii' }),
      fc.string({ unit: 'grapheme-ascii' }),
      (pattern, other) => {
        fc.pre(!pattern.includes('*') && !pattern.includes('\n'));
        const isAllowed = allowRepositories([pattern], []);
        expect(isAllowed(pattern)).toBe(true);
        expect(isAllowed(other)).toBe(pattern === other);
      },
    ),
  );
});
