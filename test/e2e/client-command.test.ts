/**
 * `cistern client` with real clients: the files that the built command puts below a folder make each of them pull through
 * the mirror, from Docker Hub and from another registry. In a network namespace in which nothing but the mirror and its two
 * upstreams can be reached, and the registries' own names lead nowhere.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ClientOptions, RealClient } from '../support/real/client.ts';
import { commandOutput } from '../support/real/command.ts';
import { Cri } from '../support/real/cri.ts';
import { Distribution } from '../support/real/distribution.ts';
import { Dockerd } from '../support/real/dockerd.ts';
import { imageId, type RealImage } from '../support/real/image-set.ts';
import { Mirror, projectFolder } from '../support/real/mirror.ts';
import { Namespace } from '../support/real/place.ts';
import { Podman } from '../support/real/podman.ts';
import { Skopeo } from '../support/real/skopeo.ts';
import { requires } from '../support/requires.ts';
import { openSuiteParts, type SuiteParts } from './suite-parts.ts';

const mirrorName = 'mirror.test';

/** How a client asks the mirror for something of a repository of the registry `key`. */
type Way = (key: string, repository: string, what: string) => string;
const byNs: Way = (key, repository, what) => `/v2/${repository}/${what}?ns=${key}`;
const byPath: Way = (key, repository, what) => `/v2/${key}/${repository}/${what}`;
const byDefault: Way = (key, repository, what) =>
  key === 'docker.io' ? `/v2/${repository}/${what}` : byPath(key, repository, what);

requires(
  'root',
  'namespaces',
  'debian-packages',
  'docker-registry',
  'dockerd',
  'containerd',
  'podman',
  'skopeo',
)('the files of cistern client', () => {
  let parts: SuiteParts;
  let place: Namespace;
  let hub: Distribution;
  let quay: Distribution;
  let mirror: Mirror;
  let url: string;

  beforeAll(async () => {
    parts = await openSuiteParts();
    const { folder, storage } = parts;
    place = await Namespace.create(join(folder, 'namespace'), [mirrorName]);
    hub = await Distribution.start({ folder: join(folder, 'hub'), storage, place });
    quay = await Distribution.start({ folder: join(folder, 'quay'), storage, place });
  });

  afterAll(async () => {
    await quay?.stop();
    await hub?.stop();
    await place?.close();
    await parts?.remove();
  });

  describe('docker', () => {
    const quayByMirror = () => `${new URL(url).host}/quay.io`;
    pullThrough('docker', ['docker'], byDefault, options => Dockerd.start(options), quayByMirror);
  });

  describe('containerd', () => {
    pullThrough('containerd', ['containerd'], byNs, options => Cri.start(options));
  });

  describe('containerd --default', () => {
    pullThrough('all', ['containerd', '--default'], byNs, options => Cri.start(options));
  });

  describe('podman', () => {
    pullThrough('podman', ['podman'], byPath, options => Podman.create(options));
  });

  describe('podman, for skopeo', () => {
    pullThrough('skopeo', ['podman'], byPath, options => Skopeo.create(options));
  });

  type Options = ClientOptions & { readonly settings: string };

  /** Each with a mirror of its own. `quayHost`: what stands before the repository in names of images of quay.io. */
  function pullThrough(
    name: string,
    words: readonly string[],
    way: Way,
    start: (options: Options) => Promise<RealClient>,
    quayHost: () => string = () => 'quay.io',
  ): void {
    let client: RealClient;

    beforeAll(async () => {
      const folder = join(parts.folder, name);
      const upstreams = { 'docker.io': hub.url, 'quay.io': quay.url };
      mirror = await Mirror.start(place, join(folder, 'mirror'), { upstreams, tagsTtl: '1h' });
      url = `http://${mirrorName}:${new URL(mirror.url).port}`;
      const settings = join(folder, 'settings');
      await putInPlace(words, join(folder, 'mirror/mirror.yml'), settings);
      client = await start({ folder: join(folder, 'c'), place, mirror: 'http://unused.invalid', settings });
    });

    afterAll(async () => {
      await client?.close();
      await mirror?.stop();
    });

    test('an image of Docker Hub comes through the mirror', async () => {
      const { tiny } = parts.images;
      await quay.forget();
      expect(await pull(client, tiny, 'docker.io')).toEqual(expectedPaths(way, 'docker.io', tiny));
      expect(await quay.lines()).toEqual([]);
    });

    test('so does one of another registry', async () => {
      const { nested } = parts.images;
      await hub.forget();
      expect(await pull(client, nested, quayHost())).toEqual(expectedPaths(way, 'quay.io', nested));
      expect(await hub.lines()).toEqual([]);
    });
  }

  /** The built command, as its user runs it; what it writes is what it prints. */
  async function putInPlace(words: readonly string[], file: string, settings: string): Promise<void> {
    const command = [process.execPath, join(projectFolder, 'dist/main.js'), 'client', ...words];
    const flags = ['--config', file, '--url', url, '--json'];
    const printed = await commandOutput([...command, ...flags]);
    await commandOutput([...command, ...flags, '--write', settings]);
    for (const { path, content } of JSON.parse(printed).files)
      expect(await readFile(join(settings, path), 'utf8')).toBe(content);
  }

  /** With an emptied client. Gives what the mirror has served. */
  async function pull(client: RealClient, image: RealImage, host: string): Promise<string[]> {
    await client.wipe();
    mirror.forget();
    const { code, stdout, stderr } = await client.pull(image, host);
    expect(code, `${stderr}${stdout}`).toBe(0);
    expect(await client.identify(image, host)).toEqual({ imageId: imageId(image), digest: image.top.digest });
    return (await mirror.requests())
      .filter(({ method, status, path }) => method === 'GET' && status === 200 && path !== '/v2/')
      .map(({ path }) => path.replace(`manifests/${image.tag}`, `manifests/${image.top.digest}`))
      .sort();
  }
});

/** The manifest, by tag or by digest, and each blob once. */
function expectedPaths(way: Way, key: string, { repository, top }: RealImage): string[] {
  return [`manifests/${top.digest}`, ...top.blobs.map(digest => `blobs/${digest}`)]
    .map(what => way(key, repository, what))
    .sort();
}
