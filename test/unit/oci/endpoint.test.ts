import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import {
  apiRoot,
  type BuildableEndpoint,
  buildEndpoint,
  type Endpoint,
  isApiTarget,
  parseEndpoint,
} from '../../../src/oci/endpoint.ts';
import { parseTag } from '../../../src/oci/name.ts';
import { digests, rawNames, tags } from './arbitraries.ts';

const digest = digestOf(Buffer.from('x'));
const latest = parseTag('latest');

const endpoints: fc.Arbitrary<BuildableEndpoint> = fc.oneof(
  fc.constant({ kind: 'ping' as const }),
  fc.record({ kind: fc.constant('manifest' as const), name: rawNames, reference: fc.oneof(tags, digests) }),
  fc.record({ kind: fc.constant('blob' as const), name: rawNames, digest: digests }),
  fc.record({
    kind: fc.constantFrom('manifest-put' as const, 'manifest-delete' as const),
    name: rawNames,
    reference: fc.oneof(tags, digests),
  }),
  fc.record({ kind: fc.constant('blob-delete' as const), name: rawNames, digest: digests }),
  fc.record({ kind: fc.constant('upload-start' as const), name: rawNames }),
  fc.record({
    kind: fc.constantFrom(
      'upload-status' as const,
      'upload-chunk' as const,
      'upload-commit' as const,
      'upload-cancel' as const,
    ),
    name: rawNames,
    session: fc.oneof(fc.uuid(), fc.constantFrom('list', 'uploads')),
  }),
  fc.record(
    {
      kind: fc.constant('tags' as const),
      name: rawNames,
      n: fc.nat(999_999_999),
      last: fc.string({ minLength: 1, unit: 'binary' }),
    },
    { requiredKeys: ['kind', 'name'] },
  ),
  fc.record(
    {
      kind: fc.constant('referrers' as const),
      name: rawNames,
      digest: digests,
      artifactType: fc.string({ minLength: 1 }),
    },
    { requiredKeys: ['kind', 'name', 'digest'] },
  ),
  fc.record(
    { kind: fc.constant('catalog' as const), n: fc.nat(999_999_999), last: fc.string({ minLength: 1 }) },
    { requiredKeys: ['kind'] },
  ),
);

/** For the kinds that GET and HEAD don't have. */
const methods: Partial<Record<Endpoint['kind'], string>> = {
  'manifest-put': 'PUT',
  'manifest-delete': 'DELETE',
  'blob-delete': 'DELETE',
  'upload-start': 'POST',
  'upload-chunk': 'PATCH',
  'upload-commit': 'PUT',
  'upload-cancel': 'DELETE',
};

describe('endpoint', () => {
  test.each<[string, Endpoint]>([
    ['', { kind: 'ping' }],
    ['_catalog?n=5&last=a%2Fb', { kind: 'catalog', n: 5, last: 'a/b' }],
    ['alpine/manifests/latest', { kind: 'manifest', name: 'alpine', reference: latest }],
    [`library/alpine/manifests/${digest}`, { kind: 'manifest', name: 'library/alpine', reference: digest }],
    [`ghcr.io/x/y/blobs/${digest}`, { kind: 'blob', name: 'ghcr.io/x/y', digest }],
    [`localhost:5000/x/blobs/${digest}`, { kind: 'blob', name: 'localhost:5000/x', digest }],
    ['x/blobs/uploads/', { kind: 'unsupported', path: 'upload' }],
    ['x/blobs/uploads', { kind: 'unsupported', path: 'upload' }],
    ['x/blobs/uploads/abc-1', { kind: 'upload-status', name: 'x', session: 'abc-1' }],
    ['x/tags/list', { kind: 'tags', name: 'x' }],
    ['x/tags/list?n=0', { kind: 'tags', name: 'x', n: 0 }],
    ['x/tags/list?n=-1&last=', { kind: 'tags', name: 'x' }],
    ['x/tags/list?n=9999999999', { kind: 'tags', name: 'x' }],
    [`x/referrers/${digest}`, { kind: 'referrers', name: 'x', digest }],
    [
      `x/referrers/${digest}?artifactType=a%2Fb%2Bc`,
      { kind: 'referrers', name: 'x', digest, artifactType: 'a/b+c' },
    ],
    [
      'manifests/manifests/manifests',
      { kind: 'manifest', name: 'manifests', reference: parseTag('manifests') },
    ],
    ['x/blobs/uploads/manifests/latest', { kind: 'manifest', name: 'x/blobs/uploads', reference: latest }],
    ['x/tags/list/tags/list', { kind: 'tags', name: 'x/tags/list' }],
  ])('%j is read', (rest, endpoint) => {
    expect(parseEndpoint('GET', apiRoot + rest).endpoint).toEqual(endpoint);
  });

  test.each<[method: string, rest: string, endpoint: Endpoint]>([
    ['HEAD', 'x/manifests/latest', { kind: 'manifest', name: 'x', reference: latest }],
    ['PUT', 'x/manifests/latest?tag=2', { kind: 'manifest-put', name: 'x', reference: latest }],
    ['DELETE', `x/manifests/${digest}`, { kind: 'manifest-delete', name: 'x', reference: digest }],
    ['POST', 'x/manifests/latest', { kind: 'unsupported', path: 'manifest' }],
    ['DELETE', `x/blobs/${digest}`, { kind: 'blob-delete', name: 'x', digest }],
    ['PUT', `x/blobs/${digest}`, { kind: 'unsupported', path: 'blob' }],
    ['POST', 'x/blobs/uploads', { kind: 'upload-start', name: 'x' }],
    ['POST', `x/blobs/uploads/?digest=${digest}`, { kind: 'upload-start', name: 'x' }],
    ['POST', 'x/blobs/uploads/?digest=nonsense', { kind: 'upload-start', name: 'x' }],
    ['PUT', 'x/blobs/uploads/', { kind: 'unsupported', path: 'upload' }],
    ['PATCH', 'x/blobs/uploads/a', { kind: 'upload-chunk', name: 'x', session: 'a' }],
    ['PUT', `x/blobs/uploads/a?digest=${digest}`, { kind: 'upload-commit', name: 'x', session: 'a' }],
    ['DELETE', 'x/blobs/uploads/a', { kind: 'upload-cancel', name: 'x', session: 'a' }],
    ['POST', 'x/blobs/uploads/a', { kind: 'unsupported', path: 'upload' }],
    ['HEAD', 'x/blobs/uploads/a', { kind: 'unsupported', path: 'upload' }],
    ['toString', 'x/blobs/uploads/a', { kind: 'unsupported', path: 'upload' }],
    ['PUT', '', { kind: 'unsupported', path: 'ping' }],
    ['POST', '_catalog', { kind: 'unsupported', path: 'catalog' }],
    ['DELETE', 'x/tags/list', { kind: 'unsupported', path: 'tags' }],
    ['get', 'x/tags/list', { kind: 'unsupported', path: 'tags' }],
    ['PATCH', `x/referrers/${digest}`, { kind: 'unsupported', path: 'referrers' }],
  ])('%s %s is read as one kind', (method, rest, endpoint) => {
    expect(parseEndpoint(method, apiRoot + rest).endpoint).toEqual(endpoint);
  });

  test('a path that is no endpoint is refused as such, whatever the method', () => {
    for (const method of ['GET', 'PUT', 'OPTIONS']) {
      expect(() => parseEndpoint(method, '/v2/x/unknown/y')).toThrow('expected an endpoint');
      expect(() => parseEndpoint(method, '/v2/X/manifests/1')).toThrow('repository name');
    }
  });

  test('the ping may lack its last slash', () => {
    expect(parseEndpoint('GET', '/v2').endpoint).toEqual({ kind: 'ping' });
    expect(parseEndpoint('GET', '/v2?ns=docker.io')).toMatchObject({
      endpoint: { kind: 'ping' },
      ns: 'docker.io',
    });
  });

  test('what is built is read back as it was', () => {
    fc.assert(
      fc.property(endpoints, fc.option(fc.string({ minLength: 1 }), { nil: undefined }), (endpoint, ns) => {
        const url = buildEndpoint(endpoint, { ns });
        expect(url.startsWith(apiRoot)).toBe(true);
        const parsed = parseEndpoint(methods[endpoint.kind] ?? 'GET', url);
        expect(parsed.endpoint).toEqual(endpoint);
        expect(parsed.ns).toBe(ns);
      }),
    );
  });

  test('a built URL can stand in a request line and in a Link', () => {
    fc.assert(
      fc.property(endpoints, endpoint => {
        expect(buildEndpoint(endpoint)).toMatch(/^(?:(?![<>#])[!-~])+$/);
      }),
    );
  });

  test('exact URLs', () => {
    expect(buildEndpoint({ kind: 'ping' })).toBe('/v2/');
    expect(
      buildEndpoint({ kind: 'manifest', name: 'library/alpine', reference: latest }, { ns: 'docker.io' }),
    ).toBe('/v2/library/alpine/manifests/latest?ns=docker.io');
    expect(buildEndpoint({ kind: 'upload-start', name: 'x' })).toBe('/v2/x/blobs/uploads/');
    expect(buildEndpoint({ kind: 'tags', name: 'x', n: 0, last: 'a b' })).toBe(
      '/v2/x/tags/list?n=0&last=a+b',
    );
  });

  test('ns is decoded, may hold a port, and counts as absent when empty', () => {
    const target = '/v2/x/manifests/latest';
    expect(parseEndpoint('GET', target).ns).toBeUndefined();
    expect(parseEndpoint('GET', `${target}?ns=`).ns).toBeUndefined();
    expect(parseEndpoint('GET', `${target}?ns=my.io%3A5000`).ns).toBe('my.io:5000');
    expect(parseEndpoint('GET', `${target}?ns=my.io:5000`).ns).toBe('my.io:5000');
  });

  test('the rest of the query is handed on', () => {
    expect(parseEndpoint('POST', `/v2/x/blobs/uploads/?mount=${digest}&from=y`).query.get('from')).toBe('y');
  });

  test.each([
    ['/v2', true],
    ['/v2/', true],
    ['/v2?x', true],
    ['/v2/x/../..', true],
    ['http://mirror:5000/v2/x/tags/list', true],
    ['HTTPS://mirror/v2', true],
    ['/', false],
    ['/v2x', false],
    ['/V2/', false],
    ['//v2/', false],
    ['/ui/v2/', false],
    ['*', false],
    ['mirror:443', false],
    ['http://mirror', false],
    ['/healthz?x=/v2/', false],
  ])('%s belongs to the API: %s', (target, expected) => {
    expect(isApiTarget(target)).toBe(expected);
  });
});
