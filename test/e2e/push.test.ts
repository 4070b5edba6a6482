/**
 * Real clients push to the private registry and pull the same back. The image is built on one that the client pulled through the
 * mirror: only what is new in it comes in, and a second repository gets it without another upload. All layers are below the 10 MB
 * from which dockerd looks harder for a layer before it sends it.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { Buildah } from '../support/real/buildah.ts';
import type { ClientOptions, PushingClient } from '../support/real/client.ts';
import { Crane } from '../support/real/crane.ts';
import { Distribution } from '../support/real/distribution.ts';
import { Dockerd } from '../support/real/dockerd.ts';
import { findGoProgram, goBuildTimeoutMs } from '../support/real/go-program.ts';
import type { RealImage } from '../support/real/image-set.ts';
import { host } from '../support/real/place.ts';
import { Podman } from '../support/real/podman.ts';
import { Skopeo } from '../support/real/skopeo.ts';
import { type Requirement, requires } from '../support/requires.ts';
import { openSuiteParts } from './suite-parts.ts';

const rules = [{ repositories: ['**'], users: ['anonymous'], actions: ['pull', 'push'] }];
const app = { repository: 'team/app', tag: '1' };
const other = { repository: 'team/other', tag: '2' };
/** Doesn't compress, and is more than all layers of the base. */
const ownBytes = 4_000_000;

const starts: Partial<Record<Requirement, (options: ClientOptions) => Promise<PushingClient>>> = {
  dockerd: options => Dockerd.start(options),
  podman: options => Podman.create(options),
  skopeo: options => Skopeo.create(options),
  buildah: options => Buildah.create(options),
  crane: options => Crane.create(options),
};

for (const [name, start] of Object.entries(starts)) {
  requires(
    'root',
    'debian-packages',
    'docker-registry',
    name as Requirement,
  )(name, () => {
    if (name === 'crane') beforeAll(() => findGoProgram('crane'), goBuildTimeoutMs);

    test('pushes what it built on a mirrored image: its own layer alone goes up, once, and the same comes back', async () => {
      const { parts, mirror, client } = await startWith(start);
      const address = new URL(mirror.url).host;
      const base = parts.images.list;
      const pulled = await client.pull(base);
      expect(pulled.code, pulled.stderr).toBe(0);
      const file = join(parts.folder, 'own');
      const content = patternBlob('own', ownBytes);
      await writeFile(file, content.slice(0, ownBytes));
      await client.build(base, file, app, address);

      const digest = await client.push(app, address);
      const pushed = await pushedImage(mirror, app);
      expect(pushed.image.top.digest).toBe(digest);
      const baseLayers = base.children[0]?.blobs.slice(1);
      expect(pushed.layers.slice(0, -1)).toEqual(baseLayers);
      const received = await mirror.metric('cistern_received_bytes_total');
      expect(received).toBeGreaterThanOrEqual(ownBytes);
      expect(received).toBeLessThanOrEqual(1.05 * pushed.ownBytes);

      const mounted = 'cistern_uploads_total{result="mounted"}';
      const mountedBefore = await mirror.metric(mounted);
      expect(await client.push(app, address, other)).toBe(digest);
      const again = (await mirror.metric('cistern_received_bytes_total')) - received;
      expect(again).toBeLessThanOrEqual(pushed.configBytes);
      expect(await mirror.metric(mounted)).toBeGreaterThan(mountedBefore);

      const built = { imageId: pushed.image.top.blobs[0], digest };
      for (const repository of [app, other]) {
        await client.wipe();
        const image = { ...pushed.image, ...repository };
        const back = await client.pull(image, address);
        expect(back.code, back.stderr).toBe(0);
        expect(await client.identify(image, address)).toEqual(built);
      }
    });
  });
}

async function startWith(start: (options: ClientOptions) => Promise<PushingClient>) {
  const parts = await openSuiteParts();
  onTestFinished(() => parts.remove());
  const { folder, storage } = parts;
  const upstream = await Distribution.start({ folder: join(folder, 'registry'), storage, place: host });
  onTestFinished(() => upstream.stop());
  const mirror = await startTestMirror({
    upstream,
    config: { hosted: { repositories: ['team/**'] }, access: { rules } },
  });
  const client = await start({ folder: join(folder, 'client'), place: host, mirror: mirror.url });
  onTestFinished(() => client.close());
  return { parts, mirror, client };
}

/** What the registry has under that name. Its own bytes are its config and its last layer. */
async function pushedImage({ url }: TestMirror, { repository, tag }: Pick<RealImage, 'repository' | 'tag'>) {
  const accept = ['oci.image.manifest.v1', 'docker.distribution.manifest.v2'];
  const headers = { accept: accept.map(type => `application/vnd.${type}+json`).join(', ') };
  const answer = await get(url, `/v2/${repository}/manifests/${tag}`, { headers });
  const manifest = JSON.parse(answer.body.toString());
  const { config, layers } = manifest;
  const top = {
    digest: digestOf(answer.body),
    mediaType: answer.headers.get('content-type') ?? '',
    size: answer.body.length,
    blobs: [config.digest, ...layers.map(({ digest }: RealImage['top']) => digest)],
  };
  const image: RealImage = { repository, tag, top, children: [] };
  const configBytes: number = config.size;
  return { image, layers: top.blobs.slice(1), configBytes, ownBytes: configBytes + layers.at(-1).size };
}
