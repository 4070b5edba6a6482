/**
 * What clients must not get through: every request target here ends in an error of the specification, and none of them
 * gives a name that could leave the store's folder or reach a host.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isDigest } from '../../../src/oci/digest.ts';
import { type Endpoint, parseEndpoint } from '../../../src/oci/endpoint.ts';
import { RegistryError } from '../../../src/oci/error.ts';
import { titled } from '../../support/titles.ts';

const hex = 'ab'.repeat(32);
const digest = `sha256:${hex}`;

function codeOf(target: string): string {
  try {
    return `accepted ${JSON.stringify(parseEndpoint('GET', target).endpoint)}`;
  } catch (error) {
    if (error instanceof RegistryError) return `${error.status} ${error.code}`;
    throw error;
  }
}

describe('bad input', () => {
  test.each(
    titled([
      // dots and slashes, plain and encoded
      '/v2/../manifests/latest',
      '/v2/../../etc/passwd',
      '/v2/..',
      '/v2/./manifests/latest',
      '/v2/x/../y/manifests/latest',
      '/v2/x/..',
      '/v2/x/manifests/..',
      '/v2/x/manifests/.',
      '/v2/x..y/manifests/latest',
      '/v2/%2e%2e/manifests/latest',
      '/v2/%2E%2E%2Fx/manifests/latest',
      '/v2/x%2Fy/manifests/latest',
      '/v2/x%2fy/blobs/uploads/',
      '/v2/%252e%252e/manifests/latest',
      '/v2/x/manifests/%2e%2e',
      '/v2/x/manifests/la%74est',
      `/v2/x/blobs/sha256%3A${hex}`,
      '/v2/x%00/manifests/latest',
      '/v2/x%/manifests/latest',
      '/v2/x\\y/manifests/latest',
      '/v2/..\\..\\x/manifests/latest',
      // empty segments and trailing slashes
      '/v2//',
      '/v2//x/manifests/latest',
      '/v2/x//y/manifests/latest',
      '/v2/x//manifests/latest',
      '/v2/x/manifests/',
      '/v2/x/manifests/latest/',
      '/v2/x/manifests//latest',
      `/v2/x/blobs/${digest}/`,
      '/v2/x/tags/list/',
      '/v2/_catalog/',
      '/v2/manifests/latest',
      '/v2/blobs/uploads/',
      // letters
      '/v2/Library/manifests/latest',
      '/v2/X/blobs/uploads/',
      '/v2/x\0/manifests/latest',
      '/v2/x\n/manifests/latest',
      '/v2/x\r\nHost:y/manifests/latest',
      '/v2/x y/manifests/latest',
      '/v2/ü/manifests/latest',
      '/v2/\u00c3\u00bc/manifests/latest',
      '/v2/x\u2215y/manifests/latest',
      '/v2/\uff0e\uff0e/manifests/latest',
      '/v2/\u{1f433}/manifests/latest',
      '/v2/\ud800/manifests/latest',
      '/v2/_x/manifests/latest',
      '/v2/-x/manifests/latest',
      '/v2/x_/manifests/latest',
      '/v2/x___y/manifests/latest',
      '/v2/~root/manifests/latest',
      '/v2/_catalog/manifests/latest',
      // lengths
      `/v2/${'a'.repeat(256)}/manifests/latest`,
      `/v2/${'a/'.repeat(128)}a/manifests/latest`,
      `/v2/ghcr.io/${'a'.repeat(256)}/manifests/latest`,
      `/v2/${'a'.repeat(300)}.io/x/manifests/latest`,
      `/v2/${'a'.repeat(100_000)}/manifests/latest`,
      // first segments that only look like hosts
      '/v2/localhost:5000/manifests/latest',
      '/v2/localhost:/x/manifests/latest',
      '/v2/localhost:port/x/manifests/latest',
      '/v2/localhost:500000/x/manifests/latest',
      '/v2/:5000/x/manifests/latest',
      '/v2/user@host:5000/x/manifests/latest',
      '/v2/user:secret@host/x/manifests/latest',
      '/v2/[::1]:5000/x/manifests/latest',
      '/v2/x/localhost:5000/y/manifests/latest',
      '/v2/GHCR.IO/x/manifests/latest',
      '/v2/.ghcr.io/x/manifests/latest',
      '/v2/ghcr..io/x/manifests/latest',
      '/v2/http://evil.example/x/manifests/latest',
      '/v2/169.254.169.254:80:80/x/manifests/latest',
      // fragments and several ns
      '/v2/x/manifests/latest#',
      '/v2/x#/manifests/latest',
      '/v2/x/manifests/latest?ns=docker.io#ghcr.io',
      '/v2/x/manifests/latest?ns=docker.io&ns=ghcr.io',
      '/v2/x/manifests/latest?ns=docker.io&ns=docker.io',
      '/v2/x/manifests/latest?ns=docker.io&n%73=ghcr.io',
      '/v2/x/manifests/latest?ns&ns=',
      '/v2/?ns=docker.io&ns=ghcr.io',
      // absolute form
      'http://mirror:5000/v2/../manifests/latest',
      'http://mirror:5000/v2/X/manifests/latest',
      'http://mirror:5000/v2//x/manifests/latest',
      'http://u:p@mirror/v2/x%2fy/manifests/latest',
    ]),
  )('%s is no name: 400 NAME_INVALID', (_title, target) => {
    expect(codeOf(target)).toBe('400 NAME_INVALID');
  });

  test.each([
    'sha256:',
    'sha256:baddigeststring',
    `sha256:${hex.toUpperCase()}`,
    `SHA256:${hex}`,
    `sha256:${hex}0`,
    `sha256:${hex.slice(1)}`,
    `sha512:${hex}`,
    `MD5:${hex.slice(0, 32)}`,
    `blake3::${hex}`,
    `blake3:${hex}~`,
    `-blake3:${hex}`,
    `sha256:sha256:${hex}`,
    `${digest}@latest`,
    `:${hex}`,
  ])('%j is no digest: 400 DIGEST_INVALID', reference => {
    expect(codeOf(`/v2/x/manifests/${reference}`)).toBe('400 DIGEST_INVALID');
    expect(codeOf(`/v2/x/blobs/${reference}`)).toBe('400 DIGEST_INVALID');
    expect(codeOf(`/v2/x/referrers/${reference}`)).toBe('400 DIGEST_INVALID');
  });

  test.each(titled([`blake3:${hex}`, `sha256+b64:${hex}`, `md5:${hex.slice(0, 32)}`]))(
    '%s: for GET and HEAD alone, never a subject',
    (_title, reference) => {
      for (const of of ['manifest', 'blob'] as const) {
        const expected = { kind: 'foreign', of, name: 'x', digest: reference };
        expect(parseEndpoint('HEAD', `/v2/x/${of}s/${reference}`).endpoint).toEqual(expected);
        expect(() => parseEndpoint('DELETE', `/v2/x/${of}s/${reference}`)).toThrow('expected sha256');
      }
      expect(() => parseEndpoint('PUT', `/v2/x/manifests/${reference}`)).toThrow('expected sha256');
      expect(codeOf(`/v2/x/referrers/${reference}`)).toBe('400 DIGEST_INVALID');
    },
  );

  test.each(titled([`sha256-${hex}`, hex, 'latest', '@', 'a'.repeat(50_000), `blake3:${'a'.repeat(513)}`]))(
    '%s names no blob: 400 DIGEST_INVALID',
    (_title, text) => {
      expect(codeOf(`/v2/x/blobs/${text}`)).toBe('400 DIGEST_INVALID');
      expect(codeOf(`/v2/x/referrers/${text}`)).toBe('400 DIGEST_INVALID');
    },
  );

  test.each(
    titled(['.hidden', '-x', 'a@b', 'a+b', '~', "'", '*', '{}', 'a'.repeat(129), 'a'.repeat(100_000)]),
  )('%s is no tag: 400 TAG_INVALID', (_title, tag) => {
    expect(codeOf(`/v2/x/manifests/${tag}`)).toBe('400 TAG_INVALID');
  });

  test.each([
    '',
    '*',
    '/',
    '/v1/',
    '/v22/',
    '/V2/x/manifests/latest',
    '//v2/x/manifests/latest',
    '//evil.example/v2/x/manifests/latest',
    'v2/x/manifests/latest',
    'mirror:443',
    'http://mirror',
    'http://mirror/',
    'http:///v1/',
    'ftp://mirror/v2/x/manifests/latest',
    'file:///v2/',
    'http:/v2/x/manifests/latest',
    '/ui/../v2/x/manifests/latest',
    '/%76%32/x/manifests/latest',
    '/v2/x',
    '/v2/x/y',
    '/v2/x/tags/all',
    '/v2/x/tag/list',
    '/v2/x/Manifests/latest',
    '/v2/_catalogue',
  ])('%j is no endpoint: 404 NAME_UNKNOWN', target => {
    expect(codeOf(target)).toBe('404 NAME_UNKNOWN');
  });

  test.each(
    titled(['/v2/x/blobs/uploads/..', '/v2/x/blobs/uploads/a:b', `/v2/x/blobs/uploads/${'a'.repeat(257)}`]),
  )('%s is no upload: 404 BLOB_UPLOAD_UNKNOWN', (_title, target) => {
    expect(codeOf(target)).toBe('404 BLOB_UPLOAD_UNKNOWN');
  });

  test('the absolute form means the same as the path in it, and its host is not believed', () => {
    const path = '/v2/x/manifests/latest?ns=docker.io';
    const expected = parseEndpoint('GET', path);
    for (const authority of ['mirror:5000', 'evil.example', 'u:p@[::1]:80', '']) {
      expect(parseEndpoint('GET', `http://${authority}${path}`)).toEqual(expected);
      expect(parseEndpoint('GET', `HTTPS://${authority}${path}`)).toEqual(expected);
    }
  });

  test('the message never repeats the credentials of an absolute target', () => {
    expect(() => parseEndpoint('GET', 'http://user:hunter2@mirror/v2/X/manifests/latest')).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('hunter2') }),
    );
  });

  /** Pieces from which hostile targets are made: far more of them come close to the grammar than random text would. */
  const piece = fc.oneof(
    fc.constantFrom(
      '/',
      '//',
      '..',
      '.',
      '%2F',
      '%2e%2e',
      '%00',
      '%',
      '\\',
      '#',
      '?',
      '&',
      '=',
      ':',
      '@',
      ';',
      '\0',
      '\r\n',
    ),
    fc.constantFrom(
      'manifests',
      'blobs',
      'uploads',
      'tags',
      'list',
      'referrers',
      '_catalog',
      'v2',
      'latest',
      'ns',
      'n',
      'last',
    ),
    fc.constantFrom(
      'x',
      'library',
      'ghcr.io',
      'localhost:5000',
      'http://',
      'X',
      'ü',
      '\ud800',
      '-',
      '_',
      '__',
      digest,
    ),
    fc.string({ maxLength: 3, unit: 'binary' }),
    fc.integer({ min: 1, max: 400 }).map(length => 'a'.repeat(length)),
  );
  const hostile = fc
    .tuple(fc.constantFrom('/v2/', '/v2/x/', 'http://m/v2/', '', '/'), fc.array(piece, { maxLength: 12 }))
    .map(([root, pieces]) => root + pieces.join(''));
  const between = fc
    .tuple(
      fc.array(piece, { maxLength: 6 }),
      fc.constantFrom('manifests/latest', `blobs/${digest}`, 'tags/list', 'blobs/uploads/'),
    )
    .map(([pieces, end]) => `/v2/${pieces.join('')}/${end}`);

  const methods = fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE');

  function namesOf(endpoint: Endpoint): string[] {
    return [
      ...('name' in endpoint ? endpoint.name.split('/') : []),
      ...('reference' in endpoint && !isDigest(endpoint.reference) ? [endpoint.reference] : []),
      ...('session' in endpoint ? [endpoint.session] : []),
    ];
  }

  test('whatever the target: an error of the table with a client status, or names that are safe in a path', () => {
    fc.assert(
      fc.property(methods, fc.oneof(hostile, between, fc.string({ unit: 'binary' })), (method, target) => {
        try {
          for (const name of namesOf(parseEndpoint(method, target).endpoint)) {
            expect(name).toMatch(/^[A-Za-z0-9_][A-Za-z0-9._:~=-]{0,258}$/);
            expect(name).not.toBe('..');
          }
        } catch (error) {
          if (!(error instanceof RegistryError)) throw error;
          expect([400, 404]).toContain(error.status);
          expect(error.message.length).toBeLessThan(1200);
          expect(JSON.parse(JSON.stringify(error))).toMatchObject({ errors: [{ code: error.code }] });
        }
      }),
      { numRuns: 3000 },
    );
  });
});
