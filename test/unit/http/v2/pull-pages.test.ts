import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../../src/oci/digest.ts';
import { parseNextLink } from '../../../../src/oci/header-fields.ts';
import { get, request } from '../../../support/client.ts';
import { serveApp } from '../../../support/served-app.ts';

const digest = digestOf(Buffer.from('subject'));

describe('tags', () => {
  it('go out under the name that the client used', async () => {
    const { url, ghcr } = await serveApp();
    ghcr.tagsPage = { tags: ['1', '2'] };
    const answer = await get(url, '/v2/ghcr.io/team/app/tags/list');
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/json']);
    expect(JSON.parse(answer.body.toString())).toEqual({ name: 'ghcr.io/team/app', tags: ['1', '2'] });
    expect(ghcr.asked[0]?.repository).toBe('team/app');
    expect(answer.headers.has('link')).toBe(false);
  });

  it('pass n and last on, and link the next page to ourselves with ns', async () => {
    const { url, ghcr } = await serveApp();
    ghcr.tagsPage = { tags: ['b'], next: { last: 'b', n: 1 } };
    const answer = await get(url, '/v2/team/app/tags/list?n=1&last=a&ns=ghcr.io');
    expect(ghcr.asked[0]?.rest).toEqual([1, 'a']);
    const next = parseNextLink(answer.headers.get('link')) ?? '';
    await get(url, next);
    expect(ghcr.asked[1]?.rest).toEqual([1, 'b']);
  });
});

describe('pages of the upstream', () => {
  it('are linked with its own query, which comes back character by character', async () => {
    const { url, ghcr } = await serveApp();
    ghcr.tagsPage = { tags: ['b'], nextQuery: '%7Eopaque+a%2Fb&last=b&ns=evil&=x' };
    const answer = await get(url, '/v2/team/app/tags/list?ns=ghcr.io');
    const next = parseNextLink(answer.headers.get('link')) ?? '';
    expect(next).toBe('/v2/team/app/tags/list?ns=ghcr.io&%7Eopaque+a%2Fb&last=b&=x');
    await get(url, next);
    expect(ghcr.asked[1]?.rest).toEqual([undefined, 'b', '%7Eopaque+a%2Fb&last=b&=x']);
  });
});

describe('the catalog', () => {
  it('is what the mirror holds, its next page linked with n, last and ns', async () => {
    const { url, catalog, ends, hub, ghcr } = await serveApp();
    catalog.page = { outcome: 'hit', repositories: ['ghcr.io/a/b'], next: { last: 'ghcr.io/a/b', n: 1 } };
    const answer = await get(url, '/v2/_catalog?n=1&last=docker.io/x&ns=ghcr.io');
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/json']);
    expect(JSON.parse(answer.body.toString())).toEqual({ repositories: ['ghcr.io/a/b'] });
    const next = parseNextLink(answer.headers.get('link')) ?? '';
    expect(next).toContain('ns=ghcr.io');
    catalog.page = { outcome: 'hit', repositories: [] };
    expect((await get(url, next)).headers.has('link')).toBe(false);
    expect(catalog.asked).toMatchObject([
      { n: 1, last: 'docker.io/x' },
      { n: 1, last: 'ghcr.io/a/b' },
    ]);
    expect([...hub.asked, ...ghcr.asked]).toEqual([]);
    expect(ends[0]).toMatchObject({ kind: 'catalog', upstream: 'none', outcome: 'hit' });
  });

  it('can only be read', async () => {
    const { url } = await serveApp();
    const answer = await request(url, { method: 'POST', path: '/v2/_catalog' }).done;
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });
});

describe('referrers', () => {
  it('are an index, and say whether the filter was applied', async () => {
    const { url, hub } = await serveApp();
    const plain = await get(url, `/v2/a/b/referrers/${digest}`);
    expect(plain.headers.get('content-type')).toBe('application/vnd.oci.image.index.v1+json');
    expect(JSON.parse(plain.body.toString()).manifests).toEqual([]);
    expect(plain.headers.has('oci-filters-applied')).toBe(false);
    hub.referrersAnswer = { filtered: true };
    const filtered = await get(url, `/v2/a/b/referrers/${digest}?artifactType=application/x`);
    expect(filtered.headers.get('oci-filters-applied')).toBe('artifactType');
    expect(hub.asked[1]?.rest).toEqual([digest, 'application/x', undefined]);
  });

  it('link the next page so that the upstream gets its own query back', async () => {
    const { url, ghcr } = await serveApp();
    ghcr.referrersAnswer = { nextQuery: 'artifactType=application%2Fx&token=a%2Fb&ns=evil' };
    const path = `/v2/a/b/referrers/${digest}?artifactType=application/x&ns=ghcr.io`;
    const answer = await get(url, path);
    const next = parseNextLink(answer.headers.get('link')) ?? '';
    await get(url, next);
    expect(ghcr.asked[1]?.rest).toEqual([digest, 'application/x', 'token=a%2Fb']);
  });
});
