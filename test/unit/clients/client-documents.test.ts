/** The README and docs/deployment.md show files of clients: they are what the command prints. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { setUpContainerd } from '../../../src/clients/containerd-k3s-kind-talos.ts';
import { setUpDocker } from '../../../src/clients/docker-buildkit.ts';
import { setUpPodman } from '../../../src/clients/podman-crio.ts';
import { mirrorAt } from './client-rig.ts';

const root = join(import.meta.dirname, '../../..');

/** The JSON and TOML blocks of a document from one heading to the next of its kind. */
function blocksUnder(document: string, heading: string): string[] {
  const [, section = ''] = readFileSync(join(root, document), 'utf8').split(`\n## ${heading}\n`);
  return Array.from(
    section.split('\n## ')[0]?.matchAll(/^```(?:json|toml)\n([\s\S]*?)^```$/gm) ?? [],
    match => match[1] ?? '',
  );
}

test('README.md: what clients are given', async () => {
  const mirror = await mirrorAt('http://mirror.lan:5000');
  const [config, , ghcr] = setUpContainerd(mirror, false).files;
  const [, all] = setUpContainerd(mirror, true).files;
  const files = [...setUpDocker(mirror).files, config, all, ghcr, ...setUpPodman(mirror).files];
  expect(blocksUnder('README.md', 'Point clients at it')).toEqual(files.map(file => file?.content));
  const text = readFileSync(join(root, 'README.md'), 'utf8');
  for (const file of files) expect(text).toContain(`\`${file?.path}\``);
});

test('docs/deployment.md: what the nodes are given', async () => {
  const [, all] = setUpContainerd(await mirrorAt('http://address:5000'), true).files;
  expect(blocksUnder('docs/deployment.md', 'Kubernetes')).toEqual([
    all?.content.replace('address', 'ADDRESS'),
  ]);
  expect(readFileSync(join(root, 'docs/deployment.md'), 'utf8')).toContain(`\`${all?.path}\``);
});
