/**
 * Lists with real tools: skopeo lists tags through the mirror as it does directly, and what oras asks for referrers
 * (curl asks it here, following every `Link`) has the same answer. Upstreams: a registry with small pages and the
 * referrers API, and Debian's docker-registry, which has neither pages nor that API.
 */
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Digest } from '../../src/oci/digest.ts';
import { parseNextLink } from '../../src/oci/header-fields.ts';
import { type BuiltImage, buildArtifact, buildImage } from '../support/images.ts';
import { clientEnvironment, prepareFolder } from '../support/real/client.ts';
import { Distribution } from '../support/real/distribution.ts';
import { Mirror } from '../support/real/mirror.ts';
import { host, outputIn } from '../support/real/place.ts';
import { shortDigest } from '../support/request-log.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const repository = 'team/app';
const ociIndex = 'application/vnd.oci.image.index.v1+json';
const image = buildImage();
const signature = buildArtifact({ subject: image, artifactType: 'application/vnd.example.signature' });
const bill = buildArtifact({ subject: image, artifactType: 'application/vnd.example.bill' });

requires('skopeo')('lists of a registry with pages and the referrers API', () => {
  test('skopeo lists the same tags as directly, and the registry sees its pages once', async () => {
    const upstream = await startFakeUpstream({ quirks: { maxTagsPage: 50 } });
    upstream.put(repository, image, 'latest');
    for (let n = 0; n < 130; n += 1) upstream.tag(repository, `v${1000 + n}`, image.digest);
    const { mirror, skopeoTags } = await startWith(upstream.url);
    const direct = await skopeoTags(upstream.url);
    expect(direct).toHaveLength(131);
    upstream.log.clear();
    for (let n = 0; n < 2; n += 1) expect(await skopeoTags(mirror.url)).toEqual(direct);
    expect(upstream.lines()).toEqual([
      'GET tags/list?n=1000',
      'GET tags/list?n=1000&last=v1048',
      'GET tags/list?n=1000&last=v1098',
    ]);
  });

  test('pages of tags and filtered referrers are the same as directly', async () => {
    const upstream = await startFakeUpstream();
    upstream.put(repository, image, 'latest');
    for (const artifact of [signature, bill]) upstream.put(repository, artifact);
    for (const tag of ['a', 'b', 'c', 'd']) upstream.tag(repository, tag, image.digest);
    const { mirror } = await startWith(upstream.url);
    const paths = [
      `/v2/${repository}/tags/list?n=2`,
      `/v2/${repository}/tags/list?n=2&last=b`,
      `/v2/${repository}/tags/list?n=0`,
      `/v2/${repository}/referrers/${image.digest}`,
      `/v2/${repository}/referrers/${image.digest}?artifactType=application%2Fvnd.example.bill`,
      `/v2/${repository}/referrers/${bill.digest}`,
    ];
    const direct: unknown[] = [];
    for (const path of paths) direct.push(await curlPages(upstream.url, path));
    upstream.log.clear();
    for (const [n, path] of paths.entries()) expect(await curlPages(mirror.url, path)).toEqual(direct[n]);
    expect(upstream.lines()).toEqual([
      'GET tags/list?n=1000',
      `GET referrers/${shortDigest(image.digest)}`,
      `GET referrers/${shortDigest(bill.digest)}`,
    ]);
  });
});

requires('skopeo', 'docker-registry')('lists of Debian’s docker-registry', () => {
  test('skopeo lists the same tags as directly, sorted; referrers are those of the fallback tag', async () => {
    const folder = await tempDir();
    const upstream = await Distribution.start({ folder, storage: join(folder, 'storage'), place: host });
    onTestFinished(() => upstream.stop());
    const tags = ['latest', '3.9', '3.20', 'edge', 'b', 'a'];
    await push(upstream.url, image, tags);
    await push(upstream.url, bill, [bill.digest]);
    const fallback = image.digest.replace(':', '-');
    const index = { schemaVersion: 2, mediaType: ociIndex, manifests: [bill.descriptor] };
    await putManifest(upstream.url, fallback, ociIndex, JSON.stringify(index));

    const { mirror, skopeoTags } = await startWith(upstream.url);
    const direct = await skopeoTags(upstream.url);
    expect([...direct].sort()).toEqual([...tags, fallback].sort());
    await upstream.forget();
    for (let n = 0; n < 2; n += 1) expect(await skopeoTags(mirror.url)).toEqual([...direct].sort());
    expect(await upstream.lines()).toEqual([`GET ${repository}/tags/list?n=1000`]);

    await upstream.forget();
    const path = `/v2/${repository}/referrers/${image.digest}`;
    for (let n = 0; n < 2; n += 1) {
      const [page] = await curlPages(mirror.url, path);
      expect(page).toMatchObject({ status: 200, contentType: ociIndex, body: index });
    }
    expect(await upstream.lines()).toEqual([
      `GET ${repository}/manifests/${fallback}`,
      `GET ${repository}/referrers/${image.digest}`,
    ]);
  });
});

async function startWith(upstreamUrl: string) {
  const folder = await tempDir();
  const settings = { upstreams: { 'docker.io': upstreamUrl }, tagsTtl: '1h' };
  const mirror = await Mirror.start(host, join(folder, 'mirror'), settings);
  onTestFinished(() => mirror.stop());
  const client = { folder: join(folder, 'client'), place: host, mirror: mirror.url };
  await prepareFolder(client);
  const skopeoTags = async (url: string): Promise<string[]> => {
    const name = `docker://${new URL(url).host}/${repository}`;
    const argv = ['skopeo', 'list-tags', '--tls-verify=false', name];
    return JSON.parse(await outputIn(host, argv, { env: clientEnvironment(client) })).Tags;
  };
  return { mirror, skopeoTags };
}

/** All pages that `Link` leads to. Links are compared by what they ask for: relative and absolute ones are the same. */
async function curlPages(url: string, path: string) {
  const pages: object[] = [];
  for (let target: string | undefined = new URL(path, url).href; target !== undefined; ) {
    const format = '\n%{http_code}\n%header{content-type}\n%header{oci-filters-applied}\n%header{link}';
    const printed = await outputIn(host, ['curl', '-s', '-H', `Accept: ${ociIndex}`, '-w', format, target]);
    const [body = '', status, contentType, filters, link] = printed.split('\n');
    pages.push({ status: Number(status), contentType, filters, body: JSON.parse(body) });
    const next = parseNextLink(link);
    target = next === undefined ? undefined : new URL(next, target).href;
  }
  return pages;
}

async function push(
  url: string,
  pushed: BuiltImage,
  references: readonly (string | Digest)[],
): Promise<void> {
  for (const { descriptor, content } of pushed.blobs) {
    const begun = await fetch(`${url}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
    const location = new URL(begun.headers.get('location') ?? '', url);
    location.searchParams.set('digest', descriptor.digest);
    const put = await fetch(location, {
      method: 'PUT',
      body: new Uint8Array(content.slice(0, content.size)),
    });
    expect(put.status).toBe(201);
  }
  for (const reference of references) {
    await putManifest(url, reference, pushed.mediaType, pushed.bytes.toString());
  }
}

async function putManifest(url: string, reference: string, type: string, body: string): Promise<void> {
  const target = `${url}/v2/${repository}/manifests/${reference}`;
  const put = await fetch(target, { method: 'PUT', headers: { 'content-type': type }, body });
  expect(put.status, await put.text()).toBe(201);
}
