/** The three ways in: default upstream, `ns`, host as first segment; and who may have a held blob. */
import { describe, expect, test } from 'vitest';
import { get, head } from '../support/client.ts';
import { answer } from '../support/faults.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { blobLine, manifestLine } from '../support/request-log.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const image = buildImage();
const layer = image.layers[0]?.descriptor.digest ?? '';

async function startTwo(extra: Record<string, unknown> = {}) {
  const hub = await startFakeUpstream();
  const quay = await startFakeUpstream();
  hub.put('library/alpine', image, 'latest');
  quay.put('team/app', image, 'v1');
  const mirror = await startTestMirror({
    config: {
      upstreams: { 'docker.io': { url: hub.url }, 'quay.io': { url: quay.url, aliases: ['quay.lan:5000'] } },
      ...extra,
    },
  });
  return { hub, quay, mirror };
}

describe('a name finds its upstream', () => {
  test.each([
    ['/v2/library/alpine/manifests/latest'],
    ['/v2/alpine/manifests/latest'],
    ['/v2/library/alpine/manifests/latest?ns=docker.io'],
    ['/v2/alpine/manifests/latest?ns=docker.io'],
    ['/v2/library/alpine/manifests/latest?ns=registry-1.docker.io'],
    ['/v2/library/alpine/manifests/latest?ns=index.docker.io'],
    ['/v2/docker.io/library/alpine/manifests/latest'],
    ['/v2/docker.io/alpine/manifests/latest'],
    ['/v2/registry-1.docker.io/library/alpine/manifests/latest'],
  ])('%s is on docker.io as library/alpine', async path => {
    const { hub, quay, mirror } = await startTwo();
    expect(await get(mirror.url, path)).toMatchObject({ status: 200, sha256: image.digest });
    expect(hub.lines({ repository: true })).toEqual(['GET library/alpine manifests/latest']);
    expect(quay.lines()).toEqual([]);
  });

  test.each([
    ['/v2/team/app/manifests/v1?ns=quay.io'],
    ['/v2/team/app/manifests/v1?ns=QUAY.io'],
    ['/v2/team/app/manifests/v1?ns=quay.lan%3A5000'],
    ['/v2/quay.io/team/app/manifests/v1'],
    ['/v2/quay.lan:5000/team/app/manifests/v1'],
  ])('%s is on quay.io', async path => {
    const { hub, quay, mirror } = await startTwo();
    expect(await get(mirror.url, path)).toMatchObject({ status: 200, sha256: image.digest });
    expect(quay.lines({ repository: true })).toEqual(['GET team/app manifests/v1']);
    expect(hub.lines()).toEqual([]);
  });

  test.each([
    ['/v2/library/alpine/manifests/latest?ns=evil.example'],
    ['/v2/library/alpine/manifests/latest?ns=127.0.0.1:1'],
    ['/v2/evil.example/library/alpine/manifests/latest'],
    ['/v2/localhost/alpine/manifests/latest'],
    ['/v2/localhost:5000/alpine/manifests/latest'],
  ])('%s is 404 NAME_UNKNOWN, and nothing is dialled', async path => {
    const { hub, quay, mirror } = await startTwo();
    const result = await get(mirror.url, path);
    expect(result.status).toBe(404);
    expect(JSON.parse(result.body.toString()).errors[0].code).toBe('NAME_UNKNOWN');
    expect([...hub.lines(), ...quay.lines()]).toEqual([]);
  });

  test('OCI-Namespace comes back as sent', async () => {
    const { mirror } = await startTwo();
    const result = await get(mirror.url, '/v2/team/app/manifests/v1?ns=quay.io');
    expect(result.headers.get('oci-namespace')).toBe('quay.io');
    expect((await get(mirror.url, '/v2/alpine/manifests/latest')).headers.has('oci-namespace')).toBe(false);
  });

  test('an ns that names this mirror is as if absent', async () => {
    const { mirror } = await startTwo({
      http: { public_url: 'https://mirror.lan:8443', names: ['cache.lan'] },
    });
    const { host } = new URL(mirror.url);
    for (const ns of [host, 'mirror.lan:8443', 'cache.lan']) {
      expect(await get(mirror.url, `/v2/alpine/manifests/latest?ns=${encodeURIComponent(ns)}`)).toMatchObject(
        { status: 200 },
      );
    }
  });

  test('allow and deny of an upstream decide before anything is asked', async () => {
    const hub = await startFakeUpstream();
    hub.put('library/alpine', image, 'latest');
    const mirror = await startTestMirror({
      upstream: hub,
      hub: { allow: ['library/**'], deny: ['library/secret*'] },
    });
    expect((await get(mirror.url, '/v2/alpine/manifests/latest')).status).toBe(200);
    hub.log.clear();
    for (const path of ['/v2/other/alpine/manifests/latest', '/v2/library/secret-x/manifests/latest']) {
      const result = await get(mirror.url, path);
      expect(result.status).toBe(403);
      expect(JSON.parse(result.body.toString()).errors[0].code).toBe('DENIED');
    }
    expect(hub.lines()).toEqual([]);
  });
});

describe('a held blob', () => {
  const credentials = { username: 'u', password: 'p', share: 'all' };

  /** Blobs of `private/app` were pulled; `library/other` does not have them. */
  async function startPrivate() {
    const upstream = await startFakeUpstream({ auth: { kind: 'basic', accounts: { u: { password: 'p' } } } });
    upstream.put('private/app', image, 'v1');
    upstream.put('library/other', buildImage({ layers: ['other'] }), 'v1');
    const mirror = await startTestMirror({ upstream, hub: credentials });
    expect(await get(mirror.url, `/v2/private/app/blobs/${layer}`)).toMatchObject({
      status: 200,
      sha256: layer,
    });
    upstream.log.clear();
    return { upstream, mirror };
  }

  test('of a private repository is 404 through another one that does not have it: by GET, HEAD and Range', async () => {
    const { upstream, mirror } = await startPrivate();
    const path = `/v2/library/other/blobs/${layer}`;
    expect((await get(mirror.url, path)).status).toBe(404);
    expect((await head(mirror.url, path)).status).toBe(404);
    expect((await get(mirror.url, path, { headers: { Range: 'bytes=0-9' } })).status).toBe(404);
    expect(new Set(upstream.lines())).toEqual(new Set([blobLine(layer, undefined, 'HEAD')]));
  });

  test('is served through another repository after one HEAD that finds it there', async () => {
    const { upstream, mirror } = await startPrivate();
    upstream.put('library/second', image, 'v1');
    const path = `/v2/library/second/blobs/${layer}`;
    for (let n = 0; n < 2; n += 1)
      expect(await get(mirror.url, path)).toMatchObject({ status: 200, sha256: layer });
    expect(upstream.lines()).toEqual([blobLine(layer, undefined, 'HEAD')]);
  });

  test('and a held manifest by digest obey the same rule', async () => {
    const { upstream, mirror } = await startPrivate();
    await get(mirror.url, '/v2/private/app/manifests/v1');
    upstream.log.clear();
    expect((await get(mirror.url, `/v2/library/other/manifests/${image.digest}`)).status).toBe(404);
    expect(upstream.requests.map(({ method }) => method)).toEqual(['HEAD', 'GET']); // HEAD is a hint, GET is the word
  });

  test('that is being filled for a private repository is not given to another one that does not have it', async () => {
    const upstream = await startFakeUpstream({ auth: { kind: 'basic', accounts: { u: { password: 'p' } } } });
    upstream.put('private/app', image, 'v1');
    const mirror = await startTestMirror({ upstream, hub: credentials });
    const gate = upstream.holdAfter({ digest: layer }, 10);
    const first = get(mirror.url, `/v2/private/app/blobs/${layer}`);
    await gate.reached;
    expect((await get(mirror.url, `/v2/library/other/blobs/${layer}`)).status).toBe(404);
    gate.release();
    expect(await first).toMatchObject({ sha256: layer });
    const asked = upstream.lines({ repository: true, status: true });
    const [fill, proof, ...more] = asked.filter(line => !line.startsWith('401'));
    expect(fill).toContain('GET private/app');
    expect(proof).toContain('HEAD library/other');
    expect(more).toEqual([]);
  });

  test('of a public repository is served to all, without a HEAD, also offline after a restart', async () => {
    const { hub, quay, mirror } = await startTwo();
    await get(mirror.url, `/v2/alpine/blobs/${layer}`);
    expect(await get(mirror.url, `/v2/quay.io/team/app/blobs/${layer}`)).toMatchObject({
      status: 200,
      sha256: layer,
    });
    expect(quay.lines()).toEqual([]);
    await mirror.close();
    await hub.refuse();
    await quay.refuse();
    const again = await startTestMirror({
      storePath: mirror.storePath,
      config: { upstreams: { 'docker.io': { url: hub.url }, 'quay.io': { url: quay.url } } },
    });
    expect(await get(again.url, `/v2/quay.io/team/other/blobs/${layer}`)).toMatchObject({
      status: 200,
      sha256: layer,
    });
  });

  test('HEAD of a cold blob takes its size from the manifest, else from one HEAD, and downloads nothing', async () => {
    const upstream = await startFakeUpstream({ redirect: true });
    upstream.put('library/alpine', image, 'latest');
    const mirror = await startTestMirror({ upstream });
    const path = `/v2/alpine/blobs/${layer}`;
    expect((await head(mirror.url, path)).status).toBe(200);
    // Behind a redirect the store knows the length.
    const headLine = blobLine(layer, undefined, 'HEAD');
    expect(upstream.lines()).toEqual([headLine, `storage ${headLine}`]);
    upstream.log.clear();
    await get(mirror.url, '/v2/alpine/manifests/latest');
    const result = await head(mirror.url, path);
    expect(result.headers.get('content-length')).toBe(String(image.layers[0]?.descriptor.size));
    expect(upstream.lines()).toEqual([manifestLine('latest')]);
    expect(upstream.contentBytes('blob')).toBe(0);
  });

  test('a blob that the upstream does not have is 404 and makes no link', async () => {
    const { upstream, mirror } = await startPrivate();
    upstream.fault({ kind: 'blob', method: 'HEAD' }, answer(404));
    expect((await get(mirror.url, `/v2/library/none/blobs/${layer}`)).status).toBe(404);
    expect((await get(mirror.url, `/v2/library/none/blobs/${layer}`)).status).toBe(404);
    expect(upstream.lines()).toHaveLength(2);
  });
});
