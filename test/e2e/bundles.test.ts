/**
 * Bundles and real clients: images of a real registry go into one tar, and from there into a mirror without any upstream, from which
 * dockerd, containerd and podman pull the same digests; and the tar itself is read by skopeo, `docker load` and `podman load`.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { fullName } from '../support/real/client.ts';
import { clientKinds } from '../support/real/clients.ts';
import { commandOutput } from '../support/real/command.ts';
import { Distribution } from '../support/real/distribution.ts';
import { Dockerd } from '../support/real/dockerd.ts';
import { imageId, manifestFor, type RealImage } from '../support/real/image-set.ts';
import { Mirror, projectFolder } from '../support/real/mirror.ts';
import { host } from '../support/real/place.ts';
import { Podman } from '../support/real/podman.ts';
import { requires } from '../support/requires.ts';
import { openSuiteParts, type SuiteParts } from './suite-parts.ts';

const imageNames = ['tiny', 'app', 'index', 'list', 'zstd'] as const;
/** Nothing listens there. */
const nowhere = 'http://127.0.0.1:9';

let parts: SuiteParts;
let upstream: Distribution;
let online: Mirror;
let offline: Mirror;

async function cistern(folder: string, ...args: readonly string[]): Promise<string> {
  const program = [process.execPath, join(projectFolder, 'dist/main.js')];
  return await commandOutput([...program, ...args, '--config', join(folder, 'mirror.yml')]);
}

requires(
  'root',
  'debian-packages',
  'docker-registry',
  'nginx',
  'openssl',
)('bundles', () => {
  let bundle: string;

  beforeAll(async () => {
    parts = await openSuiteParts();
    const { folder, storage, images } = parts;
    upstream = await Distribution.start({ folder: join(folder, 'registry'), storage, place: host });
    const settings = (url: string) => ({ upstreams: { 'docker.io': url, 'quay.io': url }, tagsTtl: '1h' });
    online = await Mirror.start(host, join(folder, 'online'), settings(upstream.url));
    offline = await Mirror.start(host, join(folder, 'offline'), settings(nowhere));
    bundle = join(folder, 'bundle.tar');
    const names = imageNames.map(name => fullName(images[name]));
    await cistern(join(folder, 'online'), 'export', ...names, '--output', bundle);
    await cistern(join(folder, 'offline'), 'import', bundle);
  });

  afterAll(async () => {
    await offline?.stop();
    await online?.stop();
    await upstream?.stop();
    await parts?.remove();
  });

  for (const name of ['dockerd', 'containerd', 'podman'] as const) {
    const kind = clientKinds[name];
    if (kind === undefined) throw new Error(`expected a client ${name}`);
    requires(kind.needs)(name, () => {
      test(`${name} pulls what was imported, with equal digests, from a mirror without an upstream`, async () => {
        const folder = join(parts.folder, `pull-${name}`);
        const client = await kind.start({ folder, place: host, mirror: offline.url });
        onTestFinished(() => client.close());
        for (const image of imageNames
          .map(wanted => parts.images[wanted])
          .filter(isTakenBy(kind.images, parts))) {
          const { code, stdout, stderr } = await client.pull(image);
          expect(code, `${stderr}${stdout}`).toBe(0);
          expect(await client.identify(image)).toEqual({ imageId: imageId(image), digest: image.top.digest });
        }
      });
    });
  }

  requires('skopeo')('skopeo', () => {
    test('skopeo inspects and copies each image of the tar, with its digest', async () => {
      for (const image of imageNames.map(name => parts.images[name])) {
        // it finds images of Docker's types only where there is no other
        const isOci = image.top.mediaType.startsWith('application/vnd.oci.');
        const source = `oci-archive:${isOci ? `${bundle}:${fullName(image)}` : await bundleOf(image)}`;
        const raw = await commandOutput(['skopeo', 'inspect', '--raw', source]);
        expect(digestOf(Buffer.from(raw))).toBe(image.top.digest);
        const config = JSON.parse(await commandOutput(['skopeo', 'inspect', '--config', source]));
        expect(config).toMatchObject({ architecture: 'amd64', os: 'linux' });
        const copy = join(parts.folder, `copy-${image.repository.replaceAll('/', '-')}`);
        const flags = ['--insecure-policy', 'copy', '--all', '--preserve-digests'];
        await commandOutput(['skopeo', ...flags, source, `dir:${copy}`]);
        const archive = `docker-archive:${bundle}:${fullName(image)}`;
        const inList = JSON.parse(await commandOutput(['skopeo', 'inspect', '--config', archive]));
        expect(inList).toMatchObject({ architecture: 'amd64', os: 'linux' });
      }
    });
  });

  requires('dockerd')('docker load', () => {
    test('docker load gets the image of this machine out of each bundle', async () => {
      const client = await Dockerd.start({
        folder: join(parts.folder, 'load-d'),
        place: host,
        mirror: nowhere,
      });
      onTestFinished(() => client.close());
      for (const image of (['tiny', 'index', 'list'] as const).map(name => parts.images[name])) {
        const file = await bundleOf(image);
        const { code, stdout, stderr } = await client.load(file);
        expect(code, `${stderr}${stdout}`).toBe(0);
        expect(await client.imageIdOf(image)).toBe(imageId(image));
      }
    });
  });

  requires('podman')('podman load', () => {
    test('podman load gets the image of this machine out of each bundle, and several out of one', async () => {
      const client = await Podman.create({
        folder: join(parts.folder, 'load-p'),
        place: host,
        mirror: nowhere,
      });
      onTestFinished(() => client.close());
      const images = imageNames.map(name => parts.images[name]);
      for (const file of [...(await Promise.all(images.slice(0, 1).map(bundleOf))), bundle]) {
        const { code, stdout, stderr } = await client.load(file);
        expect(code, `${stderr}${stdout}`).toBe(0);
      }
      for (const image of images) expect(await client.imageIdOf(image)).toBe(imageId(image));
    });
  });

  requires(
    'dockerd',
    'podman',
    'skopeo',
  )('archives of other tools', () => {
    test('what podman save and skopeo copy write is imported under its name, and pulls', async () => {
      const { tiny } = parts.images;
      const file = await bundleOf(tiny);
      const settings = { upstreams: { 'docker.io': nowhere }, tagsTtl: '1h' };
      const docker = await Dockerd.start({
        folder: join(parts.folder, 'save-d'),
        place: host,
        mirror: nowhere,
      });
      onTestFinished(() => docker.close());
      const podman = await Podman.create({
        folder: join(parts.folder, 'save-p'),
        place: host,
        mirror: nowhere,
      });
      onTestFinished(() => podman.close());
      await podman.load(file);
      const archives = ['podman', 'skopeo'].map(name => join(parts.folder, `of-${name}.tar`));
      const [ofPodman = '', ofSkopeo = ''] = archives;
      await podman.save(tiny, ofPodman);
      const copy = ['skopeo', '--insecure-policy', 'copy', '--preserve-digests', `oci-archive:${file}`];
      await commandOutput([...copy, `oci-archive:${ofSkopeo}:${fullName(tiny)}`]);
      for (const archive of archives) {
        const target = `${archive}.mirror`;
        const mirror = await Mirror.start(host, target, settings);
        onTestFinished(() => mirror.stop());
        const report = await cistern(target, 'import', archive);
        expect(report).toContain(`${fullName(tiny)}: imported, sha256:`);
        const url = `docker://${new URL(mirror.url).host}/${tiny.repository}:${tiny.tag}`;
        const inspected = await commandOutput(['skopeo', 'inspect', '--tls-verify=false', '--config', url]);
        expect(JSON.parse(inspected)).toMatchObject({ architecture: 'amd64' });
      }
    });
  });

  /** Out of the mirror without an upstream, which has all of it. */
  async function bundleOf(image: RealImage): Promise<string> {
    const file = join(parts.folder, `${manifestFor(image).digest.slice(7, 19)}.tar`);
    await cistern(join(parts.folder, 'offline'), 'export', fullName(image), '--output', file);
    return file;
  }
});

function isTakenBy(names: readonly string[], { images }: SuiteParts): (image: RealImage) => boolean {
  const taken = names.map(name => Object.entries(images).find(([key]) => key === name)?.[1]);
  return image => taken.includes(image);
}
