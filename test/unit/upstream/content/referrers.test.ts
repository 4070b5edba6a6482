/** Referrers, from the endpoint and from the tag. */
import { expect, test } from 'vitest';
import { digestOf } from '../../../../src/oci/digest.ts';
import { ociIndex, ociManifest } from '../../../../src/oci/media-type.ts';
import { referrersTag } from '../../../../src/upstream/content/referrers.ts';
import {
  alpine,
  connect,
  failureOf,
  manifestBytes,
  manifestDigest,
  read,
  sendJson,
  sendManifest,
  serve,
} from '../rig.ts';

const entry = (artifactType: string): Record<string, unknown> => ({
  mediaType: ociManifest,
  digest: digestOf(Buffer.from(artifactType)),
  size: artifactType.length,
  artifactType,
});
const index = { schemaVersion: 2, mediaType: ociIndex, manifests: [entry('a/x'), entry('b/y')] };
const empty = { schemaVersion: 2, mediaType: ociIndex, manifests: [] };
const path = `/v2/library/alpine/referrers/${manifestDigest}`;
const tagPath = `/v2/library/alpine/manifests/${referrersTag(manifestDigest)}`;
const asIndex = { 'content-type': ociIndex };

test('referrers go on as they came, with the query of the next page', async () => {
  const server = await serve((_request, response) =>
    sendJson(response, index, 200, { ...asIndex, link: `<${path}?token=abc&page=2>; rel="next"` }),
  );
  const { registry } = connect(server.url);
  const page = await registry.referrers(alpine, manifestDigest, undefined, read);
  expect(JSON.parse(page.bytes.toString())).toEqual(index);
  expect(page).toMatchObject({ filtered: false, nextQuery: 'token=abc&page=2' });
  await registry.referrers(alpine, manifestDigest, 'a/x', { ...read, query: 'token=abc&page=2&ns=evil' });
  expect(server.lines).toEqual([`GET ${path}`, `GET ${path}?artifactType=a%2Fx&token=abc&page=2`]);
});

test('the filter is applied here when the upstream did not', async () => {
  const server = await serve((_request, response, count) =>
    sendJson(
      response,
      index,
      200,
      count === 0 ? asIndex : { ...asIndex, 'oci-filters-applied': 'artifactType' },
    ),
  );
  const { registry } = connect(server.url);
  const here = await registry.referrers(alpine, manifestDigest, 'a/x', read);
  expect(JSON.parse(here.bytes.toString())).toEqual({ ...index, manifests: [entry('a/x')] });
  expect(here.filtered).toBe(true);
  const there = await registry.referrers(alpine, manifestDigest, 'a/x', read);
  expect(JSON.parse(there.bytes.toString())).toEqual(index);
  expect(there.filtered).toBe(true);
});

test.each([400, 404, 405, 406, 501])(
  'a registry that says %i to the endpoint is asked for the tag',
  async status => {
    const server = await serve((request, response) => {
      if (request.url?.includes('/referrers/')) sendJson(response, {}, status);
      else sendJson(response, index, 200, asIndex);
    });
    const { registry, recorder } = connect(server.url);
    const page = await registry.referrers(alpine, manifestDigest, 'b/y', read);
    expect(JSON.parse(page.bytes.toString())).toEqual({ ...index, manifests: [entry('b/y')] });
    expect(server.lines).toEqual([`GET ${path}?artifactType=b%2Fy`, `GET ${tagPath}`]);
    expect(recorder.of('upstreamAnswered')).toEqual([
      `upstreamAnswered up referrers GET ${status}`,
      'upstreamAnswered up referrers GET 200',
    ]);
  },
);

test.each([
  ['nothing', 404],
  ['no index', 200],
])('with %s under the tag there are no referrers', async (_name, tagStatus) => {
  const server = await serve((request, response, count) => {
    const status = count === 0 ? 404 : tagStatus;
    if (status === 200) sendManifest(request, response, { 'content-length': manifestBytes.length });
    else sendJson(response, {}, status);
  });
  const page = await connect(server.url).registry.referrers(alpine, manifestDigest, undefined, read);
  expect(JSON.parse(page.bytes.toString())).toEqual(empty);
  expect(server.seen).toHaveLength(2);
});

test('a page that is no index counts as no endpoint; other refusals are failures', async () => {
  const server = await serve((request, response) => {
    if (request.url?.includes('/referrers/')) response.end('<html>');
    else sendJson(response, {}, 404);
  });
  const page = await connect(server.url).registry.referrers(alpine, manifestDigest, undefined, read);
  expect(JSON.parse(page.bytes.toString())).toEqual(empty);
  const failing = await serve((_request, response) => sendJson(response, {}, 500));
  const failure = failureOf(connect(failing.url).registry.referrers(alpine, manifestDigest, undefined, read));
  expect(await failure).toMatchObject({ failure: 'status', code: 'UNAVAILABLE' });
});

const nested = `{"manifests":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;

test.each([
  ['no JSON', '<html>'],
  ['no list', '{"manifests":{}}'],
  ['an image', manifestBytes.toString()],
  ['nested without end', nested],
])('an answer of the type of an index that is %s counts as no endpoint', async (_name, body) => {
  const server = await serve((request, response) => {
    if (request.url?.includes('/referrers/')) response.writeHead(200, asIndex).end(body);
    else sendJson(response, index, 200, asIndex);
  });
  const page = await connect(server.url).registry.referrers(alpine, manifestDigest, 'b/y', read);
  expect(JSON.parse(page.bytes.toString())).toEqual({ ...index, manifests: [entry('b/y')] });
  expect(server.lines).toEqual([`GET ${path}?artifactType=b%2Fy`, `GET ${tagPath}`]);
});

test('a fallback tag that leads to the subject itself, or to something nested without end, is no list', async () => {
  const subject = Buffer.from(JSON.stringify(index));
  for (const body of [subject, Buffer.from(nested)]) {
    const server = await serve((request, response) => {
      if (request.url?.includes('/referrers/')) sendJson(response, {}, 404);
      else response.writeHead(200, asIndex).end(body);
    });
    const page = await connect(server.url).registry.referrers(alpine, digestOf(subject), 'b/y', read);
    expect(JSON.parse(page.bytes.toString())).toEqual(empty);
    expect(server.seen).toHaveLength(2);
  }
});

test('a later page that is refused is a failure, and no tag is asked for', async () => {
  const server = await serve((_request, response) => sendJson(response, {}, 400));
  const { registry } = connect(server.url);
  const failure = failureOf(
    registry.referrers(alpine, manifestDigest, undefined, { ...read, query: 'page=2' }),
  );
  expect(await failure).toMatchObject({ failure: 'status', code: 'UNAVAILABLE' });
  expect(server.lines).toEqual([`GET ${path}?page=2`]);
});

test('the tag of a long digest is cut as the specification says', () => {
  expect(referrersTag(manifestDigest)).toBe(manifestDigest.replace(':', '-'));
  const long = digestOf(Buffer.from('x'), 'sha512');
  expect(referrersTag(long)).toBe(`sha512-${long.slice(7, 71)}`);
});
