import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isDigest, parseDigest } from '../../../src/oci/digest.ts';
import {
  canonicalHost,
  HUB,
  isHostLike,
  isRawName,
  isRepository,
  parseReference,
  parseRepository,
  parseTag,
  withLibrary,
} from '../../../src/oci/name.ts';
import { titled } from '../../support/titles.ts';
import { digests, rawNames, repositories, tags } from './arbitraries.ts';

describe('repository', () => {
  test.each(titled(['a', 'alpine', 'library/alpine', 'a/b/c/d', 'a.b_c__d-e---f/0', 'a'.repeat(255)]))(
    'accepts %s',
    (_title, text) => {
      expect(parseRepository(text)).toBe(text);
    },
  );

  test.each(
    titled([
      '',
      '/',
      '/a',
      'a/',
      'a//b',
      '.',
      '..',
      'a/..',
      'a/../b',
      '.a',
      'a.',
      'a..b',
      'a._b',
      'a___b',
      '-a',
      'a-',
      'A',
      'aÄ',
      'a b',
      'a%2fb',
      'a\\b',
      'a\0',
      'a\n',
      'host:5000/a',
      'a'.repeat(256),
    ]),
  )('refuses %s', (_title, text) => {
    expect(isRepository(text)).toBe(false);
    expect(() => parseRepository(text)).toThrow(
      expect.objectContaining({ code: 'NAME_INVALID', status: 400 }),
    );
  });

  test('a long bad name is cut in the message', () => {
    expect(() => parseRepository('A'.repeat(10_000))).toThrow(/^.{1,300}$/);
  });
});

describe('tag and reference', () => {
  test.each(titled(['latest', '1.36', '_x', 'A-b.c_d', 'a..b', 'x'.repeat(128), 'sha256-abc.sig']))(
    'accepts the tag %s',
    (_title, text) => {
      expect(parseTag(text)).toBe(text);
      expect(parseReference(text)).toBe(text);
    },
  );

  test.each(titled(['', '.a', '-a', '..', 'a b', 'a/b', 'ä', 'a\n', 'a%20', 'x'.repeat(129)]))(
    'refuses the tag %s',
    (_title, text) => {
      expect(() => parseTag(text)).toThrow(expect.objectContaining({ code: 'TAG_INVALID', status: 400 }));
      expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: 'TAG_INVALID' }));
    },
  );

  test('with a colon a reference is a digest, or nothing', () => {
    expect(() => parseReference('latest:1')).toThrow(expect.objectContaining({ code: 'DIGEST_INVALID' }));
    fc.assert(
      fc.property(digests, digest => isDigest(parseReference(digest)) && parseDigest(digest) === digest),
    );
    fc.assert(fc.property(tags, tag => parseReference(tag) === tag && !isDigest(tag)));
  });
});

describe('raw name', () => {
  test('is a repository, or a host and a repository', () => {
    fc.assert(fc.property(rawNames, name => void expect(isRawName(name)).toBe(true)));
  });

  test.each(
    titled([
      'localhost:5000',
      'a/b:5000/c',
      'a:port/b',
      'a:123456/b',
      ':5000/a',
      'GHCR.io/a',
      'ghcr.io/',
      'a.b:1:2/c',
      `${'a'.repeat(260)}.b/c`,
      `ghcr.io/${'a'.repeat(256)}`,
    ]),
  )('refuses %s', (_title, text) => {
    expect(isRawName(text)).toBe(false);
  });

  test('the host does not count towards the length of the repository', () => {
    expect(isRawName(`ghcr.io/${'a'.repeat(255)}`)).toBe(true);
    expect(isRawName(`owner/${'a'.repeat(250)}`)).toBe(false);
  });

  test.each([
    ['ghcr.io', true],
    ['localhost', true],
    ['host:5000', true],
    ['library', false],
    ['localhost2', false],
  ])('%s can only be a host: %s', (segment, expected) => {
    expect(isHostLike(segment)).toBe(expected);
  });
});

describe('Docker Hub', () => {
  test.each([
    ['docker.io', HUB],
    ['index.docker.io', HUB],
    ['registry-1.docker.io', HUB],
    ['Index.Docker.IO', HUB],
    ['ghcr.io', 'ghcr.io'],
    ['GHCR.io', 'ghcr.io'],
    ['docker.io:5000', 'docker.io:5000'],
    ['evil-index.docker.io', 'evil-index.docker.io'],
  ])('the canonical host of %s is %s', (host, expected) => {
    expect(canonicalHost(host)).toBe(expected);
  });

  test('only a name of one segment gets library/', () => {
    expect(withLibrary(parseRepository('alpine'))).toBe('library/alpine');
    fc.assert(
      fc.property(repositories, repository => {
        const full = withLibrary(repository);
        return full.includes('/') && full.endsWith(repository) && withLibrary(full) === full;
      }),
    );
  });
});
