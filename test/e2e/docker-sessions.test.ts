/**
 * What people type with a private registry on their network: tag, push and pull on its own machine and from a second one of another
 * architecture, the lists by curl, and a container that is committed. Cistern stands in for registry:2, started by its variables.
 * The machines are network namespaces with a wire between them.
 */
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import type { SpawnedProcess } from '../support/process.ts';
import { endDaemon, startDaemon } from '../support/real/daemon.ts';
import { writeDockerArchive } from '../support/real/docker-archive.ts';
import { DockerMachine } from '../support/real/docker-machine.ts';
import type { RealManifest } from '../support/real/image-set.ts';
import { projectFolder } from '../support/real/mirror.ts';
import { type Place, statusIn } from '../support/real/place.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';
import { openSuiteParts, type SuiteParts } from './suite-parts.ts';

const registryName = 'registry.example.com';
const address = '192.168.1.10';

requires(
  'root',
  'namespaces',
  'debian-packages',
  'docker-registry',
  'dockerd',
  'curl',
)('docker with a private registry', () => {
  let parts: SuiteParts;
  let first: DockerMachine;

  beforeAll(async () => {
    parts = await openSuiteParts();
    first = await DockerMachine.create(join(parts.folder, 'first'), [registryName]);
    await first.startDocker({ 'insecure-registries': [`${registryName}:5000`] });
    await load(first, parts.images.tiny.top, 'alpine:3.6');
  });

  afterAll(async () => {
    await first?.close();
    await parts?.remove();
  });

  /** An empty one for each test, on its usual port. */
  beforeEach(async () => {
    const registry = await startRegistry(first.place);
    onTestFinished(() => endDaemon(registry));
  });

  test('push on its own machine, and from a second one once that allows plain HTTP; _catalog and tags/list', async () => {
    await first.types('docker tag alpine:3.6 localhost:5000/alpine:3.6');
    expect(await first.types('docker images')).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^alpine +3\.6 /),
        expect.stringMatching(/^localhost:5000\/alpine +3\.6 /),
      ]),
    );
    expect(await first.types('docker push localhost:5000/alpine:3.6')).toEqual([
      'The push refers to repository [localhost:5000/alpine]',
      'LAYER: Pushed',
      expect.stringMatching(/^3\.6: digest: sha256:[0-9a-f]{64} size: \d+$/),
    ]);

    const second = await DockerMachine.create(await tempDir(), []);
    onTestFinished(() => second.close());
    await first.place.connect(address, second.place, '192.168.1.20');
    await second.startDocker({});
    await load(second, parts.images.list.children[1], 'arm64v8/alpine:3.6');
    const theirs = `${address}:5000/arm64v8/alpine:3.6`;
    await second.types(`docker tag arm64v8/alpine:3.6 ${theirs}`);
    const refused = await second.run(`docker push ${theirs}`);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      `Get "https://${address}:5000/v2/": http: server gave HTTP response to HTTPS client\n`,
    ]);
    await second.startDocker({ 'insecure-registries': [`${address}:5000`] });
    const pushed = await second.types(`docker push ${theirs}`);
    const digest = digestIn(pushed);
    expect(pushed).toEqual([
      `The push refers to repository [${address}:5000/arm64v8/alpine]`,
      'LAYER: Pushed',
      'LAYER: Pushed',
      expect.stringMatching(/^3\.6: digest: /),
    ]);

    const catalog = '{"repositories":["alpine","arm64v8/alpine"]}';
    expect(await first.types('curl -s localhost:5000/v2/_catalog')).toEqual([catalog]);
    expect(await second.types(`curl -s http://${address}:5000/v2/arm64v8/alpine/tags/list`)).toEqual([
      '{"name":"arm64v8/alpine","tags":["3.6"]}',
    ]);
    expect(await first.types('docker pull localhost:5000/arm64v8/alpine:3.6')).toEqual([
      '3.6: Pulling from arm64v8/alpine',
      'LAYER: Pull complete',
      'LAYER: Pull complete',
      `Digest: ${digest}`,
      'Status: Downloaded newer image for localhost:5000/arm64v8/alpine:3.6',
      'localhost:5000/arm64v8/alpine:3.6',
    ]);
    await first.types('docker rmi localhost:5000/arm64v8/alpine:3.6');
  });

  test('a second repository by the name of the registry: Mounted from, _catalog, and the same digest comes back', async () => {
    await load(first, parts.images.list.children[0], 'registry:2.6');
    const registry = `${registryName}:5000/registry`;
    await first.types(`docker tag alpine:3.6 ${registryName}:5000/alpine`);
    await first.types(`docker push ${registryName}:5000/alpine`);
    await first.types(`docker tag registry:2.6 ${registry}`);
    const pushed = await first.types(`docker push ${registry}`);
    const digest = digestIn(pushed);
    expect(pushed).toEqual([
      'Using default tag: latest',
      `The push refers to repository [${registry}]`,
      'LAYER: Mounted from alpine',
      'LAYER: Pushed',
      expect.stringMatching(/^latest: digest: /),
    ]);
    expect(await first.types(`curl -s ${registryName}:5000/v2/_catalog`)).toEqual([
      '{"repositories":["alpine","registry"]}',
    ]);

    await first.types(`docker rmi registry:2.6 ${registry}`);
    expect(await first.types(`docker pull ${registry}`)).toEqual([
      'Using default tag: latest',
      'latest: Pulling from registry',
      'LAYER: Already exists',
      'LAYER: Pull complete',
      `Digest: ${digest}`,
      `Status: Downloaded newer image for ${registry}:latest`,
      `${registry}:latest`,
    ]);
  });

  test('run a container, commit it, push the image, and what was made in it comes back', async () => {
    expect(await first.types('curl -s localhost:5000')).toContainEqual(expect.stringContaining('/v2/'));
    await first.types('docker run alpine:3.6 busybox touch /SUCCESS');
    const [container = ''] = await first.types('docker ps -lq');
    await first.types(`docker commit ${container} test-image`);
    const images = await first.types('docker images');
    expect(images).toContainEqual(expect.stringMatching(/^test-image +latest /));
    await first.types('docker tag alpine:3.6 localhost:5000/alpine:3.6');
    await first.types('docker push localhost:5000/alpine:3.6');
    await first.types('docker tag test-image localhost:5000/test-image');
    const pushed = await first.types('docker push localhost:5000/test-image');
    const digest = digestIn(pushed);
    expect(pushed).toEqual([
      'Using default tag: latest',
      'The push refers to repository [localhost:5000/test-image]',
      'LAYER: Mounted from alpine',
      'LAYER: Pushed',
      expect.stringMatching(/^latest: digest: /),
    ]);

    await first.types(`docker rm ${container}`);
    await first.types('docker rmi test-image localhost:5000/test-image');
    expect(await first.types('docker pull localhost:5000/test-image')).toContain(`Digest: ${digest}`);
    expect(await first.types('docker run --rm localhost:5000/test-image ls /SUCCESS')).toEqual(['/SUCCESS']);
  });

  async function load(
    machine: DockerMachine,
    manifest: RealManifest | undefined,
    name: string,
  ): Promise<void> {
    if (manifest === undefined) throw new Error(`expected a manifest for ${name}`);
    const folder = await mkdtemp(join(parts.folder, 'image-'));
    const tar = await writeDockerArchive(manifest, name, parts.blobs, folder);
    await machine.types(`docker load --input ${tar}`);
  }
});

/** As `docker run -e …` of registry:2 has it. */
async function startRegistry(place: Place): Promise<SpawnedProcess> {
  const folder = await tempDir();
  return await startDaemon({
    place,
    argv: [process.execPath, join(projectFolder, 'dist/main.js'), 'serve'],
    cwd: folder,
    env: {
      REGISTRY_HTTP_ADDR: '0.0.0.0:5000',
      REGISTRY_HTTP_SECRET: 'mytokensecret',
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: join(folder, 'registry'),
      CISTERN_STORE_MIN_FREE: '0',
    },
    ready: async () => (await statusIn(place, 'http://127.0.0.1:5000/v2/')) === 200,
  });
}

function digestIn(lines: readonly string[]): string {
  return / digest: (sha256:[0-9a-f]{64}) /.exec(lines.at(-1) ?? '')?.[1] ?? '';
}
