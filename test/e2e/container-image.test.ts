/**
 * The container image: built from the Dockerfile as it stands, on a base image made here under the name that it uses, without
 * any network; run with everything taken away that deploy/kubernetes.yaml takes away; pulled through by skopeo from a real registry.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { stringify } from 'yaml';
import { SpawnedProcess } from '../support/process.ts';
import { commandOutput } from '../support/real/command.ts';
import { ContainerEngine } from '../support/real/container-engine.ts';
import { endDaemon } from '../support/real/daemon.ts';
import { Distribution } from '../support/real/distribution.ts';
import { imageId } from '../support/real/image-set.ts';
import { projectFolder } from '../support/real/mirror.ts';
import { openNodeImage } from '../support/real/node-image.ts';
import { Namespace, outputIn } from '../support/real/place.ts';
import { Skopeo } from '../support/real/skopeo.ts';
import { requires } from '../support/requires.ts';
import { openSuiteParts, type SuiteParts } from './suite-parts.ts';

const image = 'localhost/cistern:test';
const name = 'cistern';
const mirror = 'http://127.0.0.1:5000';
const hardened = ['--read-only', '--cap-drop', 'all', '--security-opt', 'no-new-privileges'];

requires(
  'root',
  'namespaces',
  'debian-packages',
  'npm-registry',
  'docker-registry',
  'podman',
  'runc',
  'skopeo',
)('the container image', () => {
  let parts: SuiteParts;
  let place: Namespace;
  let upstream: Distribution;
  let engine: ContainerEngine;
  let container: SpawnedProcess;

  beforeAll(async () => {
    parts = await openSuiteParts();
    const { folder, storage } = parts;
    place = await Namespace.create(join(folder, 'namespace'), []);
    upstream = await Distribution.start({ folder: join(folder, 'registry'), storage, place });
    engine = await ContainerEngine.create({ folder: join(folder, 'podman'), place });

    const dockerfile = await readFile(join(projectFolder, 'Dockerfile'), 'utf8');
    const [, base = '', major] = /^ARG BASE=(\S+\/node:(\d+)-slim)$/m.exec(dockerfile) ?? [];
    await engine.importTar(await openNodeImage(join(projectFolder, '.lab'), Number(major)), base);
    await engine.build(projectFolder, image, await fillNpmCache(join(folder, 'npm')));

    const config = {
      http: { drain: '2s' },
      store: { min_free: 0 },
      upstreams: { 'docker.io': { url: upstream.url } },
    };
    await writeFile(join(folder, 'mirror.yml'), stringify(config));
    const flags = [...hardened, '--volume', `${join(folder, 'mirror.yml')}:/app/mirror.yml:ro`];
    container = await engine.start({ name, image, flags, ready: '"msg":"listening"' });
  });

  afterAll(async () => {
    if (container !== undefined) await endDaemon(container);
    await upstream?.stop();
    await place?.close();
    await parts?.remove();
  });

  test('says who runs what and where the store is', async () => {
    const { Config: config } = await inspectImage();
    expect(config).toMatchObject({
      User: '1000:1000',
      Cmd: ['node', 'dist/main.js', 'serve'],
      Volumes: { '/data': {} },
      ExposedPorts: { '5000/tcp': {} },
    });
  });

  test('holds the program and what it needs, and nothing that only builds or tests need', async () => {
    const lock = JSON.parse(await readFile(join(projectFolder, 'package-lock.json'), 'utf8'));
    const wanted = Object.entries<{ dev?: boolean; optional?: boolean }>(lock.packages)
      .filter(([path, { dev, optional }]) => path !== '' && dev !== true && optional !== true)
      .map(([path]) => path);
    const listed = await engine.output('exec', name, 'node', '-p', listPackages);
    expect(listed.trim().split('\n').sort()).toEqual(wanted.sort());
    const top = await engine.output('exec', name, 'ls', '-A', '/app');
    expect(top.trim().split('\n')).toEqual(['dist', 'mirror.yml', 'node_modules', 'package.json']);
  });

  test('runs node as process 1, without root', async () => {
    const script =
      "process.getuid() + ' ' + fs.readFileSync('/proc/1/cmdline', 'utf8').replaceAll('\\0', ' ')";
    expect(await engine.output('exec', name, 'node', '-p', script)).toBe('1000 node dist/main.js serve \n');
  });

  test('is pulled through, and keeps what passes in its volume', async () => {
    const { tiny } = parts.images;
    const folder = join(parts.folder, 'skopeo');
    const client = await Skopeo.create({ folder, place, mirror });
    const { code, stderr } = await client.pull(tiny);
    expect(code, stderr).toBe(0);
    expect(await client.identify(tiny)).toEqual({ imageId: imageId(tiny), digest: tiny.top.digest });
    const owners = await engine.output('exec', name, 'sh', '-c', 'stat -c "%U" /data/blobs-v1/*');
    expect([...new Set(owners.trim().split('\n'))]).toEqual(['node']);
  });

  test('passes its health check, which fails where no server listens', async () => {
    expect(await engine.run('healthcheck', 'run', name)).toMatchObject({ code: 0 });
    const [kind, ...check] = (await inspectImage()).Healthcheck.Test;
    expect(kind).toBe('CMD'); // no shell
    const elsewhere = check.map((word: string) => word.replace(':5000', ':5001'));
    expect(elsewhere).not.toEqual(check);
    expect(await engine.runOnce(image, ...elsewhere)).toMatchObject({ code: 1, stderr: '' });
  });

  test('ends on SIGTERM after http.drain, though a client has not read its blob', async () => {
    const largest = parts.images.app.top.blobs.at(-1);
    const blob = `/v2/library/app/blobs/${largest}`;
    const into = ['-D', '-', '-o', join(parts.folder, 'slow'), '--limit-rate', '1000'];
    const [command = '', ...args] = place.command(['curl', '-sN', ...into, `${mirror}${blob}`]);
    const client = new SpawnedProcess(command, args);
    await client.waitFor(line => (line.includes('200 OK') ? true : undefined), 'the head of the answer');
    container.signal('SIGTERM');
    expect(await container.exited).toEqual({ code: 0, signal: null });
    const told = container.lines.filter(line => line.includes(blob) || line.includes('"signal"'));
    expect(told).toEqual([
      expect.stringContaining('"msg":"draining"'),
      expect.stringContaining('"ended":"early"'), // cut then, and not before
    ]);
    expect(container.lines.at(-1)).toContain('"msg":"stopped"');
    client.signal('SIGKILL');
    await client.exited;
  });

  test('in place of registry:2, by the lines of the README: the images of its folder are there, and pull', async () => {
    const readme = await readFile(join(projectFolder, 'README.md'), 'utf8');
    const [, run = ''] = /^docker run (.* --name registry .*) cistern$/m.exec(readme) ?? [];
    const [, ...words] = /^docker exec registry (.*)$/m.exec(readme)?.[1]?.split(' ') ?? [];
    // Its port is that of the machine here; the disk may be nearly full.
    const given = [...run.matchAll(/(-[ev]) '?([^' ]+)'?/g)].flatMap(([, flag = '', value = '']) => [
      flag,
      value.replace('/srv/registry:', `${parts.storage}:`),
    ]);
    expect(given).toHaveLength(6);
    const flags = [...given, '-e', 'CISTERN_STORE_MIN_FREE=0'];
    const registry = await engine.start({ name: 'registry', image, flags, ready: '"msg":"listening"' });
    onTestFinished(() => endDaemon(registry));
    const imported = await engine.output('exec', 'registry', 'cistern', ...words);
    expect(imported).toMatch(/^manifests: [1-9]\d* imported, 0 here already$/m);
    expect(await engine.output('exec', 'registry', 'cistern', ...words)).toMatch(/^manifests: 0 imported/m);
    const { tiny } = parts.images;
    const manifest = `${mirror}/v2/${tiny.repository}/manifests/${tiny.top.digest}`;
    expect(await outputIn(place, ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', manifest])).toBe(
      '200',
    );
  });

  async function inspectImage() {
    const [inspected] = JSON.parse(await engine.output('image', 'inspect', image));
    return inspected;
  }
});

const listPackages = `fs.readdirSync('node_modules', { recursive: true }).map(path => 'node_modules/' + path)
  .filter(path => /(?:^|\\/)node_modules\\/(?:@[^/]+\\/)?[^/@.][^/]*\\/package\\.json$/.test(path))
  .map(path => path.slice(0, -'/package.json'.length)).join('\\n')`;

/** Has npm fetch what the lock file names, as far as it isn't in the machine's cache. Gives the path of that cache. */
async function fillNpmCache(folder: string): Promise<string> {
  await mkdir(folder);
  for (const file of ['package.json', 'package-lock.json'])
    await writeFile(join(folder, file), await readFile(join(projectFolder, file)));
  await commandOutput(['npm', 'ci', '--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: folder,
  });
  return (await commandOutput(['npm', 'config', 'get', 'cache'])).trim();
}
