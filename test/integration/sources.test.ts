/** One upstream at several URLs: who is asked, in which order, and who never is. */
import { describe, expect, test } from 'vitest';
import { get, head } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { answer, cut, flip, stall } from '../support/faults.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror, type TestMirrorOptions } from '../support/mirror.ts';
import { blobLine, manifestLine } from '../support/request-log.ts';
import { type FakeUpstreamOptions, startFakeUpstream } from '../support/upstream.ts';

const image = buildImage();
const size = 20_000_000;
const blob = patternBlob('from several', size);
const base = '/v2/library/alpine';
const manifestPath = `${base}/manifests/latest`;
const blobPath = `${base}/blobs/${blob.digest}`;
const account = { u: { password: 's3cret' } };
const open = 'cistern_breaker_open{upstream="docker.io"}';
const up = 'cistern_upstream_up{upstream="docker.io"}';

interface StartOptions extends TestMirrorOptions {
  /** The second URL has nothing. */
  readonly empty?: boolean;
  readonly second?: FakeUpstreamOptions;
}

async function start(first: FakeUpstreamOptions = {}, options: StartOptions = {}) {
  const [one, two] = [await startFakeUpstream(first), await startFakeUpstream(options.second)];
  for (const upstream of options.empty === true ? [one] : [one, two]) {
    upstream.put('library/alpine', image, 'latest');
    upstream.putBlob('library/alpine', blob.digest, blob);
  }
  const { hub, empty: _empty, second: _second, ...rest } = options;
  const mirror = await startTestMirror({
    ...rest,
    config: {
      ...rest.config,
      upstreams: { 'docker.io': { url: [one.url, two.url], ...hub } },
    },
  });
  const lines = () => [one.lines({ host: 'registry' }), two.lines({ host: 'registry' })];
  const questions = () => lines().map(list => list.filter(line => line !== 'GET /v2/'));
  return { one, two, mirror, lines, questions };
}

describe('the first URL decides', () => {
  test('by an answer', async () => {
    const { mirror, lines } = await start();
    expect(await get(mirror.url, manifestPath)).toMatchObject({ status: 200, sha256: image.digest });
    expect(await get(mirror.url, blobPath)).toMatchObject({ status: 200, sha256: blob.digest });
    expect(lines()).toEqual([[manifestLine('latest'), blobLine(blob.digest)], []]);
  });

  test('by 404, although the second has it', async () => {
    const { one, mirror, lines } = await start();
    one.untag('library/alpine', 'latest');
    one.fault({ kind: 'blob' }, answer(404), { times: 'always' });
    expect((await get(mirror.url, manifestPath)).status).toBe(404);
    expect((await head(mirror.url, manifestPath)).status).toBe(404);
    expect((await get(mirror.url, blobPath)).status).toBe(404);
    expect((await head(mirror.url, blobPath)).status).toBe(404);
    expect(lines()).toEqual([
      [manifestLine('latest'), blobLine(blob.digest), blobLine(blob.digest, undefined, 'HEAD')],
      [],
    ]);
  });

  test.each([401, 403])('by %i, although the second would give it', async status => {
    const { one, mirror, lines } = await start();
    one.fault({}, answer(status), { times: 'always' });
    const manifest = await get(mirror.url, manifestPath);
    expect(manifest.status).toBe(404);
    expect(JSON.parse(manifest.body.toString()).errors[0].detail.reason).toBe('refused');
    expect((await get(mirror.url, blobPath)).status).toBe(404);
    expect(lines()).toEqual([[manifestLine('latest'), blobLine(blob.digest)], []]);
  });
});

describe('the second URL is asked', () => {
  test.each([500, 429])('after %i, for manifests, blobs and lists', async status => {
    const { one, mirror, lines } = await start();
    one.fault({}, answer(status, { 'retry-after': '300' }), { times: 'always' });
    expect(await get(mirror.url, manifestPath)).toMatchObject({ status: 200, sha256: image.digest });
    expect(await get(mirror.url, blobPath)).toMatchObject({ status: 200, sha256: blob.digest });
    expect((await get(mirror.url, `${base}/tags/list`)).status).toBe(200);
    const asked = [manifestLine('latest'), blobLine(blob.digest), expect.stringMatching(/^GET tags\/list/)];
    expect(lines()).toEqual([asked, asked]);
  });

  test('when the first asked for a pause, without asking the first again', async () => {
    const { one, mirror, lines } = await start();
    one.fault({ kind: 'manifest' }, answer(429, { 'retry-after': '300' }), { times: 'always' });
    await get(mirror.url, manifestPath);
    expect((await get(mirror.url, `${base}/manifests/${image.digest}`)).status).toBe(200);
    expect((await head(mirror.url, `${base}/manifests/other`)).status).toBe(404);
    expect(lines()).toEqual([
      [manifestLine('latest')],
      [manifestLine('latest'), manifestLine('other', 'HEAD'), manifestLine('other')],
    ]);
  });

  test('when the first refuses connections, without its credentials', async () => {
    const { one, two, mirror, questions } = await start(
      { auth: { kind: 'basic', accounts: account } },
      { hub: { username: 'u', password: 's3cret', share: 'all' } },
    );
    expect((await get(mirror.url, manifestPath)).status).toBe(200);
    await one.refuse();
    expect(await get(mirror.url, blobPath)).toMatchObject({ status: 200, sha256: blob.digest });
    expect(questions()).toEqual([[manifestLine('latest'), manifestLine('latest')], [blobLine(blob.digest)]]);
    expect(one.requests.some(entry => entry.authorization === 'basic')).toBe(true);
    expect(two.requests.every(entry => entry.authorization === 'none')).toBe(true);
    expect([await mirror.metric(open), await mirror.metric(up)]).toEqual([0, 1]);
  });

  test.each(['basic', 'token'] as const)(
    'without the credentials, also when it wants some (%s)',
    async kind => {
      const auth =
        kind === 'basic' ? { kind, accounts: account } : { kind, accounts: account, anonymous: [] };
      const { one, two, mirror } = await start(
        {},
        { second: { auth }, hub: { username: 'u', password: 's3cret', share: 'all' } },
      );
      await one.refuse();
      expect((await get(mirror.url, manifestPath)).status).toBe(404);
      expect(two.requests.length).toBeGreaterThan(0);
      expect(two.requests.map(entry => entry.authorization)).not.toContain('basic');
    },
  );

  test('when the first is silent, within one first_byte; the next question does not wait for it', async () => {
    const { one, mirror, questions } = await start({}, { hub: { timeouts: { first_byte: '1s' } } });
    one.freeze();
    expect(await get(mirror.url, manifestPath)).toMatchObject({ status: 200, sha256: image.digest });
    expect(await get(mirror.url, blobPath)).toMatchObject({ status: 200, sha256: blob.digest });
    expect(questions()).toEqual([[manifestLine('latest')], [manifestLine('latest'), blobLine(blob.digest)]]);
  });

  test('and when it fails too, the upstream is away as a whole', async () => {
    const { one, two, mirror } = await start();
    await Promise.all([one.refuse(), two.refuse()]);
    expect((await get(mirror.url, manifestPath)).status).toBe(503);
    expect((await get(mirror.url, blobPath)).status).toBe(404);
    expect([await mirror.metric(open), await mirror.metric(up)]).toEqual([1, 0]);
  });
});

describe('a transfer that has begun', () => {
  const half = size / 2;
  /** From somewhere: of a cut connection the last bytes may be lost. */
  const rest = expect.stringMatching(/^GET blobs\/\S+ bytes=[1-9]\d*-$/);

  test('goes on at the second after a cut, and at the first after the next one', async () => {
    const { one, two, mirror, lines } = await start();
    one.fault({ digest: blob.digest }, cut(half));
    two.fault({ digest: blob.digest }, cut(half / 2));
    expect(await get(mirror.url, blobPath)).toMatchObject({ status: 200, sha256: blob.digest });
    expect(lines()).toEqual([[blobLine(blob.digest), rest], [rest]]);
    expect(one.contentBytes('blob') + two.contentBytes('blob')).toBeLessThanOrEqual(size * 1.05);
  });

  test('goes on at the second after a stall', async () => {
    const { one, mirror, lines } = await start({}, { hub: { timeouts: { stall: '500ms' } } });
    one.fault({ digest: blob.digest }, stall(half), { times: 'always' });
    expect(await get(mirror.url, blobPath)).toMatchObject({ status: 200, sha256: blob.digest });
    expect(lines()).toEqual([[blobLine(blob.digest)], [blobLine(blob.digest, `bytes=${half}-`)]]);
  });

  test('is not ended by a 404 of the second', async () => {
    const { one, mirror, lines } = await start({}, { empty: true });
    one.fault({ digest: blob.digest }, cut(half));
    expect(await get(mirror.url, blobPath)).toMatchObject({ status: 200, sha256: blob.digest });
    expect(lines()).toEqual([[blobLine(blob.digest), rest], [rest]]);
  });

  test('is healed by the second when the first had wrong bytes', async () => {
    const { one, mirror, lines } = await start();
    const layer = image.layers[0]?.descriptor.digest ?? '';
    one.fault({ digest: layer }, flip(0), { times: 'always' });
    const result = await get(mirror.url, `${base}/blobs/${layer}`);
    expect(result).toMatchObject({ status: 200, sha256: layer });
    expect(lines()).toEqual([[blobLine(layer)], [blobLine(layer)]]);
  });
});
