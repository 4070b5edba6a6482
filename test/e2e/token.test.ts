/**
 * The same from a registry that wants a token for every repository, as Hub does: one token per repository, and what
 * the clients pull is the same as without.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { formatRequest } from '../support/real/access-log.ts';
import type { RealClient } from '../support/real/client.ts';
import { type ClientKind, clientKinds } from '../support/real/clients.ts';
import { Distribution } from '../support/real/distribution.ts';
import { blobDigests, manifestLines } from '../support/real/expected.ts';
import { imageId, type RealImage } from '../support/real/image-set.ts';
import { Mirror } from '../support/real/mirror.ts';
import { host } from '../support/real/place.ts';
import { TokenServer } from '../support/real/token-server.ts';
import { requires } from '../support/requires.ts';
import { openSuiteParts, type SuiteParts } from './suite-parts.ts';

for (const [name, kind] of Object.entries(clientKinds)) {
  const needs = requires('root', 'debian-packages', 'docker-registry', 'openssl', kind.needs);
  needs(`${name} through a mirror of a registry with tokens`, () => tokenPulls(kind));
}

function tokenPulls(kind: ClientKind): void {
  let parts: SuiteParts;
  let tokens: TokenServer;
  let upstream: Distribution;
  let mirror: Mirror;
  let client: RealClient;

  beforeAll(async () => {
    parts = await openSuiteParts();
    const { folder, storage } = parts;
    tokens = await TokenServer.start({ folder, user: 'someone:secret' });
    upstream = await Distribution.start({ folder: join(folder, 'registry'), storage, place: host, tokens });
    const settings = { upstreams: { 'docker.io': upstream.url }, tagsTtl: '1h' };
    mirror = await Mirror.start(host, join(folder, 'mirror'), settings);
    client = await kind.start({ folder: join(folder, 'client'), place: host, mirror: mirror.url });
  });

  afterAll(async () => {
    await client?.close();
    await mirror?.stop();
    await upstream?.stop();
    await tokens?.close();
    await parts?.remove();
  });

  test('a cold pull takes one anonymous token per repository, and each manifest and blob once', async () => {
    const images: readonly RealImage[] = [parts.images.tiny, parts.images.index, parts.images.list];
    for (const image of images) {
      const { code, stdout, stderr } = await client.pull(image);
      expect(code, `${stderr}${stdout}`).toBe(0);
      expect(await client.identify(image)).toEqual({ imageId: imageId(image), digest: image.top.digest });
    }

    expect(tokens.requests).toEqual(
      images.map(({ repository }) => ({
        user: undefined,
        scopes: [`repository:${repository}:pull`],
        status: 200,
      })),
    );
    const answered = (await upstream.requests()).filter(request => request.status !== 401).map(formatRequest);
    const manifests = answered.filter(line => line.includes('/manifests/'));
    expect(manifests.sort()).toEqual(manifestLines(kind, images));
    const blobs = answered
      .filter(line => line.includes('/blobs/'))
      .map(line => line.replace(/ .*\/blobs\//, ' '));
    expect(blobs.sort()).toEqual(blobDigests(kind, images).map(digest => `GET ${digest}`));
  });
}
