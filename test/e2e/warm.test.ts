/**
 * `cistern warm` from what a real dockerd and a real containerd have: a mirror that no client has pulled through gets all of it, and then
 * gives it to other clients while the upstream is gone.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCistern } from '../support/cistern-command.ts';
import { Containerd } from '../support/real/containerd.ts';
import { Distribution } from '../support/real/distribution.ts';
import { Dockerd } from '../support/real/dockerd.ts';
import { imageId, type RealImage } from '../support/real/image-set.ts';
import { Mirror } from '../support/real/mirror.ts';
import { host } from '../support/real/place.ts';
import { Podman } from '../support/real/podman.ts';
import { requires } from '../support/requires.ts';
import { openSuiteParts, type SuiteParts } from './suite-parts.ts';

requires(
  'root',
  'debian-packages',
  'docker-registry',
  'openssl',
  'dockerd',
  'containerd',
  'podman',
)('warm from running hosts', () => {
  let parts: SuiteParts;
  let upstream: Distribution;
  let used: Mirror;
  let fresh: Mirror;
  let dockerd: Dockerd;
  let containerd: Containerd;
  let podman: Podman;

  beforeAll(async () => {
    parts = await openSuiteParts();
    const { folder, storage } = parts;
    upstream = await Distribution.start({ folder: join(folder, 'registry'), storage, place: host });
    const settings = { upstreams: { 'docker.io': upstream.url }, tagsTtl: '1h' };
    used = await Mirror.start(host, join(folder, 'used'), settings);
    fresh = await Mirror.start(host, join(folder, 'fresh'), settings);
    dockerd = await Dockerd.start({ folder: join(folder, 'd'), place: host, mirror: used.url });
    const hosts = 'docker.io';
    containerd = await Containerd.start({ folder: join(folder, 'c'), place: host, mirror: used.url, hosts });
    podman = await Podman.create({ folder: join(folder, 'p'), place: host, mirror: fresh.url });
  });

  afterAll(async () => {
    await podman?.close();
    await containerd?.close();
    await dockerd?.close();
    await fresh?.stop();
    await used?.stop();
    await upstream?.stop();
    await parts?.remove();
  });

  test('all that dockerd and containerd have is fetched once, and then pulled without the upstream', async () => {
    const { tiny, app, index, list } = parts.images;
    const { folder } = parts;
    for (const image of [tiny, index]) expect((await dockerd.pull(image)).code).toBe(0);
    for (const image of [index, app, list]) expect((await containerd.pull(image)).code).toBe(0);
    await upstream.forget();
    const words = [
      '--from-docker',
      join(folder, 'd', 'd.sock'),
      '--from-containerd',
      join(folder, 'c', 'c.sock'),
    ];
    const { code, stdout, stderr } = await runCistern(join(folder, 'fresh', 'mirror.yml'), 'warm', ...words);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const done = stdout.split('\n').filter(line => line.includes(': fetched, ') || line.endsWith(': held'));
    const names = done.map(line => line.replace(/: (?:fetched, .*|held)$/, ''));
    const nameOf = ({ repository, tag }: RealImage) => `docker.io/${repository}:${tag}`;
    expect([...new Set(names)].sort()).toEqual([tiny, index, app, list].map(nameOf).sort());
    const lines = await upstream.lines();
    expect(new Set(lines.filter(line => line.startsWith('GET ') && line.includes('/blobs/'))).size).toBe(
      lines.filter(line => line.startsWith('GET ') && line.includes('/blobs/')).length,
    );
    await upstream.stop();
    for (const image of [tiny, index, app, list]) {
      expect(await podman.pull(image)).toMatchObject({ code: 0 });
      expect((await podman.identify(image)).imageId).toBe(imageId(image));
    }
  });
});
