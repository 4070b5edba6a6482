/** The commands of README "Push your own images" and of docs/howto-push.md, typed as they stand there on a machine with Docker. */
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { SpawnedProcess } from '../support/process.ts';
import { endDaemon, startDaemon } from '../support/real/daemon.ts';
import { writeDockerArchive } from '../support/real/docker-archive.ts';
import { DockerMachine } from '../support/real/docker-machine.ts';
import { projectFolder } from '../support/real/mirror.ts';
import { statusIn } from '../support/real/place.ts';
import { requires } from '../support/requires.ts';
import { openSuiteParts, type SuiteParts } from './suite-parts.ts';

/** What is in fences of that language under that heading; without their comments. */
async function blocksOf(file: string, heading: string, language: string): Promise<string[]> {
  const text = await readFile(join(projectFolder, file), 'utf8');
  const section = text.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  const fence = new RegExp(`^( *)\`\`\`${language}\\n(.*?)^ *\`\`\`$`, 'gms');
  return [...section.matchAll(fence)].map(([, , block = '']) => block.replaceAll(/^ +| +#.*$/gm, ''));
}

requires(
  'root',
  'namespaces',
  'debian-packages',
  'docker-registry',
  'dockerd',
  'curl',
)('the documented commands', () => {
  let parts: SuiteParts;
  let machine: DockerMachine;
  let mirror: SpawnedProcess;

  beforeAll(async () => {
    parts = await openSuiteParts();
    machine = await DockerMachine.create(join(parts.folder, 'machine'), ['mirror.lan']);
    const [settings = ''] = await blocksOf(
      'docs/howto-push.md',
      "Host a team's images beside the mirror",
      'json',
    );
    await machine.startDocker(JSON.parse(settings));
    const [config = ''] = await blocksOf('README.md', 'Push your own images', 'yaml');
    expect(await blocksOf('docs/howto-push.md', "Host a team's images beside the mirror", 'yaml')).toEqual([
      config,
    ]);
    const folder = await mkdtemp(join(parts.folder, 'mirror-'));
    await writeFile(join(folder, 'mirror.yml'), config);
    mirror = await startDaemon({
      place: machine.place,
      argv: [
        process.execPath,
        join(projectFolder, 'dist/main.js'),
        'serve',
        '--config',
        join(folder, 'mirror.yml'),
      ],
      cwd: folder,
      env: { CISTERN_STORE_MIN_FREE: '0' },
      ready: async () => (await statusIn(machine.place, 'http://mirror.lan:5000/v2/')) === 200,
    });
    const archive = await writeDockerArchive(parts.images.tiny.top, 'busybox:1.36', parts.blobs, folder);
    await machine.types(`docker load --input ${archive}`);
    await machine.types('docker tag busybox:1.36 alpine:3.20');
  });

  afterAll(async () => {
    if (mirror !== undefined) await endDaemon(mirror);
    await machine?.close();
    await parts?.remove();
  });

  test.each([
    ['README.md', 'Push your own images', 'team/busybox'],
    ['docs/howto-push.md', "Host a team's images beside the mirror", 'team/alpine'],
  ])('of %s, "%s"', async (file, heading, repository) => {
    const blocks = await blocksOf(file, heading, 'sh');
    // No upstream is here: what it would bring was loaded, and the old registry has a test of its own.
    const lines = blocks
      .join('')
      .split('\n')
      .filter(line => line !== '' && line !== 'docker pull busybox:1.36');
    const typed = lines.filter(line => !/^docker (?:build -t|run -d|exec)/.test(line));
    expect(typed.length).toBeGreaterThan(3);
    const outputs: string[] = [];
    // The images of these tests have busybox alone, without its links.
    for (const line of typed)
      outputs.push(...(await machine.types(line.replace(' touch ', ' busybox touch '))));
    expect(outputs).toContainEqual(expect.stringContaining(`"name":"${repository}"`));
    expect(outputs).toContainEqual(
      expect.stringMatching(/^Status: (?:Image is up to date|Downloaded newer image)/),
    );
  });
});
