/** Lists through the mirror: what clients get, and exactly what the upstream sees for it (docs/behaviour.md, "Lists"). */
import { describe, expect, test } from 'vitest';
import { parseNextLink } from '../../src/oci/header-fields.ts';
import { type CallResult, get, head } from '../support/client.ts';
import { answer } from '../support/faults.ts';
import { buildArtifact, buildImage } from '../support/images.ts';
import { startTestMirror, type TestMirrorOptions } from '../support/mirror.ts';
import { manifestLine, shortDigest } from '../support/request-log.ts';
import { type FakeUpstreamOptions, startFakeUpstream } from '../support/upstream.ts';

const image = buildImage();
const ociIndex = 'application/vnd.oci.image.index.v1+json';

async function start(options: FakeUpstreamOptions = {}, settings: TestMirrorOptions = {}) {
  const upstream = await startFakeUpstream(options);
  upstream.put('library/alpine', image, 'latest');
  const clock = { ms: 1_700_000_000_000 };
  const mirror = await startTestMirror({ upstream, now: () => clock.ms, ...settings });
  return { upstream, mirror, clock };
}

function tagsOf({ body }: CallResult): string[] {
  return JSON.parse(body.toString()).tags;
}

function manifestsOf({ body }: CallResult): { digest: string }[] {
  return JSON.parse(body.toString()).manifests;
}

function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `v${String(index).padStart(5, '0')}`);
}

/** Follows `Link` to the end. */
async function follow(
  url: string,
  path: string,
  read: (result: CallResult) => string[],
): Promise<string[][]> {
  const pages: string[][] = [];
  for (let next: string | undefined = path; next !== undefined; ) {
    const result: CallResult = await get(url, next);
    expect(result.status).toBe(200);
    pages.push(read(result));
    next = parseNextLink(result.headers.get('link'));
    if (next !== undefined) expect(next).toContain('ns=docker.io');
  }
  return pages;
}

describe('tags/list', () => {
  test('the upstream’s pages are gathered once; ours are cut from them, and their links keep ns', async () => {
    const { upstream, mirror } = await start();
    const tags = numbered(2500);
    for (const tag of tags) upstream.tag('library/alpine', tag, image.digest);
    const all = ['latest', ...tags];
    const whole = await get(mirror.url, '/v2/alpine/tags/list?ns=docker.io');
    expect(JSON.parse(whole.body.toString())).toEqual({ name: 'alpine', tags: all });
    expect(whole.headers.get('content-type')).toBe('application/json');
    expect(whole.headers.get('oci-namespace')).toBe('docker.io');
    expect(whole.headers.has('link')).toBe(false);

    const pages = await follow(mirror.url, '/v2/alpine/tags/list?n=700&ns=docker.io', tagsOf);
    expect(pages.map(page => page.length)).toEqual([700, 700, 700, 401]);
    expect(pages.flat()).toEqual(all);
    const rest = await get(mirror.url, '/v2/docker.io/library/alpine/tags/list?last=v02497');
    expect(JSON.parse(rest.body.toString())).toEqual({
      name: 'docker.io/library/alpine',
      tags: ['v02498', 'v02499'],
    });
    const none = await get(mirror.url, '/v2/alpine/tags/list?n=0');
    expect([none.status, tagsOf(none), none.headers.has('link')]).toEqual([200, [], false]);
    expect(upstream.lines()).toEqual([
      'GET tags/list?n=1000',
      'GET tags/list?n=1000&last=v00998',
      'GET tags/list?n=1000&last=v01998',
    ]);
  });

  test('an upstream that knows neither n nor order is sorted and paged all the same', async () => {
    const { upstream, mirror } = await start({ quirks: { linklessTags: true } });
    upstream.fault({ kind: 'tags' }, { replaceWith: Buffer.from('{"name":"x","tags":["b","C","a"]}') });
    const pages = await follow(mirror.url, '/v2/alpine/tags/list?n=2&ns=docker.io', tagsOf);
    expect(pages).toEqual([['a', 'b'], ['C']]);
    expect(upstream.lines()).toEqual(['GET tags/list?n=1000']);
  });

  test('fifty clients at once cost one question', async () => {
    const { upstream, mirror } = await start();
    const gate = upstream.holdHeaders({ kind: 'tags' });
    const calls = Array.from({ length: 50 }, () => get(mirror.url, '/v2/alpine/tags/list'));
    await gate.reached;
    gate.release();
    for (const result of await Promise.all(calls)) expect(tagsOf(result)).toEqual(['latest']);
    expect(upstream.lines()).toEqual(['GET tags/list?n=1000']);
  });

  test('nothing is asked within tags.ttl; after it once, and with no-cache at once', async () => {
    const { upstream, mirror, clock } = await start();
    await get(mirror.url, '/v2/alpine/tags/list');
    upstream.tag('library/alpine', 'new', image.digest);
    clock.ms += 59_999;
    expect(tagsOf(await get(mirror.url, '/v2/alpine/tags/list'))).toEqual(['latest']);
    expect((await head(mirror.url, '/v2/alpine/tags/list')).status).toBe(200);
    expect(upstream.lines()).toHaveLength(1);
    clock.ms += 1;
    expect(tagsOf(await get(mirror.url, '/v2/alpine/tags/list'))).toEqual(['latest', 'new']);
    expect(upstream.lines()).toHaveLength(2);
    await get(mirror.url, '/v2/alpine/tags/list', { headers: { 'cache-control': 'no-cache' } });
    expect(upstream.lines()).toHaveLength(3);
  });

  test('while the upstream is away a held list goes out stale, with Warning and Age; another is 503', async () => {
    const { upstream, mirror, clock } = await start();
    upstream.put('library/other', image, 'latest');
    upstream.tag('library/alpine', 'second', image.digest);
    await get(mirror.url, '/v2/alpine/tags/list');
    await upstream.refuse();
    clock.ms += 90_000;
    const stale = await get(mirror.url, '/v2/alpine/tags/list?n=1&ns=docker.io');
    expect([stale.status, tagsOf(stale)]).toEqual([200, ['latest']]);
    expect(stale.headers.get('warning')).toBe(
      '299 - "served from the mirror without a check: the upstream cannot be reached"',
    );
    expect(stale.headers.get('age')).toBe('90');
    expect(parseNextLink(stale.headers.get('link'))).toBe(
      '/v2/alpine/tags/list?n=1&last=latest&ns=docker.io',
    );
    expect((await get(mirror.url, '/v2/other/tags/list')).status).toBe(503);
  });

  test('a repository that is not there is 404; one that goes away stays listed with on_404: keep', async () => {
    const { upstream, mirror, clock } = await start();
    const missing = await get(mirror.url, '/v2/nothing/tags/list');
    expect(missing.status).toBe(404);
    expect(JSON.parse(missing.body.toString()).errors[0].code).toBe('NAME_UNKNOWN');
    await get(mirror.url, '/v2/alpine/tags/list');
    clock.ms += 60_000;
    upstream.fault({ kind: 'tags' }, answer(404), { times: 'always' });
    const kept = await get(mirror.url, '/v2/alpine/tags/list');
    expect([kept.status, tagsOf(kept)]).toEqual([200, ['latest']]);
    expect(kept.headers.get('warning')).toContain('no longer has it');
  });

  test('more than twenty pages are passed through page by page, and held like that', async () => {
    const { upstream, mirror, clock } = await start({ quirks: { maxTagsPage: 1 } });
    const tags = numbered(24);
    for (const tag of tags) upstream.tag('library/alpine', tag, image.digest);
    const pages = await follow(mirror.url, '/v2/alpine/tags/list?n=5&ns=docker.io', tagsOf);
    expect(pages).toEqual(['latest', ...tags].map(tag => [tag]));
    const gathered = upstream.lines().slice(0, 20);
    expect(gathered).toEqual([
      'GET tags/list?n=1000',
      ...['latest', ...tags].slice(0, 19).map(last => `GET tags/list?n=1000&last=${last}`),
    ]);
    expect(upstream.lines().slice(20)).toEqual([
      'GET tags/list?n=5',
      ...['latest', ...tags].slice(0, 24).map(last => `GET tags/list?n=5&last=${last}`),
    ]);
    upstream.log.clear();
    await upstream.refuse();
    clock.ms += 60_000;
    const stale = await get(mirror.url, '/v2/alpine/tags/list?n=5&ns=docker.io');
    expect([stale.status, tagsOf(stale), stale.headers.has('warning')]).toEqual([200, ['latest'], true]);
    expect(upstream.lines()).toEqual([]);
  });

  test('what may not be pulled is not listed either, and no upstream is asked', async () => {
    const { upstream, mirror } = await start();
    const strict = await startTestMirror({ upstream, hub: { deny: ['library/*'] } });
    expect((await get(strict.url, '/v2/alpine/tags/list')).status).toBe(403);
    expect((await get(strict.url, `/v2/alpine/referrers/${image.digest}`)).status).toBe(403);
    expect(upstream.lines()).toEqual([]);
    expect((await get(mirror.url, '/v2/alpine/tags/list')).status).toBe(200);
  });
});

describe('referrers', () => {
  const signature = buildArtifact({ subject: image, artifactType: 'application/vnd.example.signature' });
  const bill = buildArtifact({ subject: image, artifactType: 'application/vnd.example.bill' });
  const path = `/v2/alpine/referrers/${image.digest}`;
  const line = `GET referrers/${shortDigest(image.digest)}`;

  test('the upstream’s list is asked for once, and filtered here', async () => {
    const { upstream, mirror } = await start();
    upstream.put('library/alpine', signature);
    upstream.put('library/alpine', bill);
    const direct = await get(upstream.url, path.replace('alpine', 'library/alpine'));
    upstream.log.clear();
    const all = await get(mirror.url, `${path}?ns=docker.io`);
    expect(all.sha256).toBe(direct.sha256);
    expect(all.headers.get('content-type')).toBe(ociIndex);
    expect(all.headers.has('oci-filters-applied')).toBe(false);
    const some = await get(mirror.url, `${path}?artifactType=application/vnd.example.bill&ns=docker.io`);
    expect(manifestsOf(some).map(({ digest }) => digest)).toEqual([bill.digest]);
    expect(some.headers.get('oci-filters-applied')).toBe('artifactType');
    const other = await get(mirror.url, `${path}?artifactType=application/none`);
    expect([other.status, manifestsOf(other)]).toEqual([200, []]);
    expect(upstream.lines()).toEqual([line]);
  });

  test('an upstream without the API: its fallback tag, and an empty index where there is none', async () => {
    const { upstream, mirror } = await start({ quirks: { noReferrers: true } });
    const fallback = { schemaVersion: 2, mediaType: ociIndex, manifests: [bill.descriptor] };
    const tag = image.digest.replace(':', '-');
    upstream.putManifest('library/alpine', Buffer.from(JSON.stringify(fallback)), ociIndex, tag);
    for (let n = 0; n < 2; n += 1) {
      expect(manifestsOf(await get(mirror.url, path))).toEqual([bill.descriptor]);
    }
    const none = await get(mirror.url, `/v2/alpine/referrers/${bill.digest}`);
    expect([none.status, none.headers.get('content-type'), manifestsOf(none)]).toEqual([200, ociIndex, []]);
    expect(upstream.lines()).toEqual([
      line,
      manifestLine(tag),
      `GET referrers/${shortDigest(bill.digest)}`,
      manifestLine(bill.digest.replace(':', '-')),
    ]);
  });

  test('while the upstream is away what is held goes out stale, none as well as some', async () => {
    const { upstream, mirror, clock } = await start();
    upstream.put('library/alpine', signature);
    await get(mirror.url, path);
    await get(mirror.url, `/v2/alpine/referrers/${signature.digest}`);
    await upstream.refuse();
    clock.ms += 61_000;
    const some = await get(mirror.url, path);
    expect(manifestsOf(some).map(({ digest }) => digest)).toEqual([signature.digest]);
    expect([some.headers.get('age'), some.headers.has('warning')]).toEqual(['61', true]);
    const none = await get(mirror.url, `/v2/alpine/referrers/${signature.digest}`);
    expect([none.status, manifestsOf(none), none.headers.has('warning')]).toEqual([200, [], true]);
    expect((await get(mirror.url, `/v2/alpine/referrers/${bill.digest}`)).status).toBe(503);
  });
});

describe('_catalog', () => {
  const namesOf = ({ body }: CallResult): string[] => JSON.parse(body.toString()).repositories;

  test('what is held of all upstreams, at once, after a restart, and while they are away', async () => {
    const upstream = await startFakeUpstream();
    upstream.put('library/alpine', image, 'latest');
    upstream.put('team/app', image, 'latest');
    const upstreams = { 'docker.io': { url: upstream.url }, 'ghcr.io': { url: upstream.url } };
    const mirror = await startTestMirror({ config: { upstreams } });
    expect(namesOf(await get(mirror.url, '/v2/_catalog'))).toEqual([]);
    await get(mirror.url, '/v2/alpine/manifests/latest');
    await get(mirror.url, '/v2/team/app/manifests/latest?ns=ghcr.io');
    await get(mirror.url, '/v2/team/app/manifests/missing');
    upstream.log.clear();
    const held = ['docker.io/library/alpine', 'ghcr.io/team/app'];
    const whole = await get(mirror.url, '/v2/_catalog');
    expect([whole.status, namesOf(whole), whole.headers.has('link')]).toEqual([200, held, false]);
    const pages = await follow(mirror.url, '/v2/_catalog?n=1&ns=docker.io', namesOf);
    expect(pages).toEqual(held.map(name => [name]));
    expect(namesOf(await get(mirror.url, '/v2/_catalog?n=0'))).toEqual([]);
    expect(upstream.lines()).toEqual([]);
    await mirror.close();

    await upstream.refuse();
    const { storePath } = mirror;
    const strict = { ...upstreams, 'docker.io': { url: upstream.url, deny: ['library/**'] } };
    const again = await startTestMirror({ storePath, config: { upstreams: strict } });
    expect(namesOf(await get(again.url, '/v2/_catalog'))).toEqual(['ghcr.io/team/app']);
    await again.close();
    const fewer = await startTestMirror({
      storePath,
      config: { offline: true, upstreams: { 'docker.io': { url: upstream.url } } },
    });
    expect(namesOf(await get(fewer.url, '/v2/_catalog'))).toEqual(['docker.io/library/alpine']);
  });
});
