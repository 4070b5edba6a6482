/**
 * Real clients pull real images through the mirror from a real registry: the right images arrive, the registry sees
 * every blob and every manifest exactly once, and what was pulled once is not asked for again.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RealClient } from '../support/real/client.ts';
import { type ClientKind, clientKinds } from '../support/real/clients.ts';
import { Distribution } from '../support/real/distribution.ts';
import { blobDigests, manifestLines } from '../support/real/expected.ts';
import { imageId, type RealImage } from '../support/real/image-set.ts';
import { Mirror } from '../support/real/mirror.ts';
import { host } from '../support/real/place.ts';
import { requires } from '../support/requires.ts';
import { openSuiteParts, type SuiteParts } from './suite-parts.ts';

const shortTtlMs = 1000;

describePulls('plain', false);
describePulls('redirecting', true);

function describePulls(variant: string, redirect: boolean): void {
  for (const [name, kind] of Object.entries(clientKinds)) {
    const needs = requires('root', 'debian-packages', 'docker-registry', 'nginx', 'openssl', kind.needs);
    needs(`${name} through a mirror of a ${variant} registry`, () => pulls(kind, redirect));
  }
}

function pulls(kind: ClientKind, redirect: boolean): void {
  let parts: SuiteParts;
  let upstream: Distribution;
  let mirror: Mirror;
  let client: RealClient;
  let images: readonly RealImage[];
  let pulledAt = 0;

  beforeAll(async () => {
    parts = await openSuiteParts();
    images = kind.images.map(name => parts.images[name]);
    const { folder, storage } = parts;
    upstream = await Distribution.start({ folder: join(folder, 'registry'), storage, place: host, redirect });
    mirror = await Mirror.start(host, join(folder, 'mirror'), settings('1h'));
    client = await kind.start({ folder: join(folder, 'client'), place: host, mirror: mirror.url });
  });

  afterAll(async () => {
    await client?.close();
    await mirror?.stop();
    await upstream?.stop();
    await parts?.remove();
  });

  test('a cold pull gives the right images, and the registry sees each manifest and each blob once', async () => {
    for (const image of images) await pullRight(image);
    pulledAt = Date.now();

    const lines = await upstream.lines();
    const blobs = blobDigests(kind, images);
    expect(lines.filter(line => line.includes('manifests/'))).toEqual(manifestLines(kind, images));
    expect(
      lines
        .filter(line => line.includes('/blobs/'))
        .map(withoutRepository)
        .sort(),
    ).toEqual(blobs.map(digest => `GET ${digest}`));
    expect(lines.filter(line => line.startsWith('storage '))).toEqual(
      redirect ? blobs.map(digest => `storage GET ${digest}`) : [],
    );
    const known = /\/manifests\/|\/blobs\/|^storage GET sha256:/;
    expect(lines.filter(line => !known.test(line))).toEqual([]);
  });

  test('a warm pull within tags.ttl asks the registry nothing', async () => {
    await client.wipe();
    await upstream.forget();
    for (const image of images) await pullRight(image);
    expect(await upstream.lines()).toEqual([]);
  });

  test('a warm pull after tags.ttl costs one HEAD for each tag', async () => {
    await client.wipe();
    await mirror.restart(settings(`${shortTtlMs}ms`));
    await delay(pulledAt + shortTtlMs - Date.now());
    await upstream.forget();
    for (const image of images) await pullRight(image);
    const heads = images.map(image => `HEAD ${image.repository}/manifests/${image.tag}`);
    expect(await upstream.lines()).toEqual(heads.sort());
  });

  function settings(tagsTtl: string) {
    return { upstreams: { 'docker.io': upstream.url, 'quay.io': upstream.url }, tagsTtl };
  }

  async function pullRight(image: RealImage): Promise<void> {
    const registry = kind.hostOf(image);
    const { code, stdout, stderr } = await client.pull(image, registry);
    expect(code, `${stderr}${stdout}`).toBe(0);
    expect(await client.identify(image, registry)).toEqual({
      imageId: imageId(image),
      digest: image.top.digest,
    });
  }
}

function withoutRepository(line: string): string {
  return line.replace(/ .*\/blobs\//, ' ');
}
