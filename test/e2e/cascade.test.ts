/** Mirrors in a row above Debian's docker-registry, pulled from by skopeo: what is right at the bottom is right at the top. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { formatRequest } from '../support/real/access-log.ts';
import { type ClientKind, clientKinds } from '../support/real/clients.ts';
import { Distribution } from '../support/real/distribution.ts';
import { blobDigests, manifestLines } from '../support/real/expected.ts';
import { imageId } from '../support/real/image-set.ts';
import { Mirror } from '../support/real/mirror.ts';
import { host } from '../support/real/place.ts';
import { requires } from '../support/requires.ts';
import { openSuiteParts, type SuiteParts } from './suite-parts.ts';

requires(
  'root',
  'debian-packages',
  'docker-registry',
  'openssl',
  'skopeo',
)('a mirror above another', () => {
  let parts: SuiteParts;
  let folder: string;
  let runs = 0;
  const ends: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    parts = await openSuiteParts();
    return () => parts.remove();
  });

  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  async function startBottom(): Promise<Distribution> {
    runs += 1;
    folder = join(parts.folder, `cascade-${runs}`);
    const storage = parts.storage;
    const bottom = await Distribution.start({ folder: join(folder, 'bottom'), storage, place: host });
    ends.push(() => bottom.stop());
    return bottom;
  }

  async function startMirror(name: string, url: string): Promise<Mirror> {
    const settings = { upstreams: { 'docker.io': url }, tagsTtl: '1h' };
    const mirror = await Mirror.start(host, join(folder, name), settings);
    ends.push(() => mirror.stop());
    return mirror;
  }

  function skopeo(): ClientKind {
    const kind = clientKinds['skopeo'];
    if (kind === undefined) throw new Error('expected skopeo among the clients');
    return kind;
  }

  async function expectPulls(mirror: Mirror): Promise<void> {
    const client = await skopeo().start({ folder: join(folder, 'client'), place: host, mirror: mirror.url });
    ends.push(() => client.close());
    for (const image of [parts.images.tiny, parts.images.index]) {
      const { code, stdout, stderr } = await client.pull(image);
      expect(code, `${stderr}${stdout}`).toBe(0);
      expect(await client.identify(image)).toEqual({ imageId: imageId(image), digest: image.top.digest });
    }
  }

  test('Cistern behind Cistern: the registry below is asked for each manifest and blob once', async () => {
    const bottom = await startBottom();
    const middle = await startMirror('middle', bottom.url);
    await expectPulls(await startMirror('top', middle.url));
    const lines = (await bottom.requests()).map(formatRequest).sort();
    const images = [parts.images.tiny, parts.images.index];
    expect(lines.filter(line => line.includes('/manifests/'))).toEqual(manifestLines(skopeo(), images));
    const blobs = lines.filter(line => line.includes('/blobs/'));
    expect(blobs.map(line => line.replace(/ .*\/blobs\//, ' ')).sort()).toEqual(
      blobDigests(skopeo(), images).map(digest => `GET ${digest}`),
    );
  });

  test('docker-registry in proxy mode is an upstream like any other', async () => {
    const bottom = await startBottom();
    const storage = join(folder, 'storage');
    await mkdir(storage, { recursive: true });
    const options = { folder: join(folder, 'middle'), storage, place: host, remote: bottom.url };
    const middle = await Distribution.start(options);
    ends.push(() => middle.stop());
    await expectPulls(await startMirror('top', middle.url));
    const asked = (await middle.requests()).filter(({ target }) => target.includes('/blobs/'));
    expect(asked.map(({ method }) => method)).toEqual(asked.map(() => 'GET'));
    expect(asked.length).toBe(blobDigests(skopeo(), [parts.images.tiny, parts.images.index]).length);
  });
});
