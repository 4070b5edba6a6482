/** The clients that the page sets up: all that the command line knows, with commands that a shell takes. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { clientNames } from '../../../../src/clients/client-setup.ts';
import { setUpClient } from '../../../../src/clients/clients.ts';
import {
  clientGroups,
  findClient,
  runCommand,
  tryCommand,
  writeCommand,
} from '../../../../src/ui/text/client-steps.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { mirrorAt } from '../../clients/client-rig.ts';

it('lists each client once', () => {
  const listed = clientGroups.flatMap(({ clients }) => clients.map(({ client }) => client));
  expect([...listed].sort()).toEqual([...clientNames].sort());
  expect(findClient('k3s').label).toBe('k3s, RKE2');
  expect(findClient('nosuch').client).toBe('docker');
});

it('writes the very content of a file that is about the mirror alone', async () => {
  const folder = await tempDir();
  const { files } = setUpClient('kind', await mirrorAt('http://mirror.lan:5000'));
  for (const file of files) {
    execFileSync('sh', ['-euc', writeCommand(file) ?? 'false'], { cwd: folder });
    expect(readFileSync(join(folder, file.path), 'utf8')).toBe(file.content);
  }
  expect(files.length).toBeGreaterThan(1);
});

it('writes no file over settings that may be there', async () => {
  const mirror = await mirrorAt('http://mirror.lan:5000');
  const [file] = setUpClient('docker', mirror).files;
  expect(file && writeCommand(file)).toBe(undefined);
  expect(runCommand('systemctl restart docker')).toBe('sudo systemctl restart docker');
  expect(runCommand('kind create cluster')).toBe('kind create cluster');
});

it('tries an image of Docker Hub, and nothing where there is none', async () => {
  const hub = await mirrorAt('http://mirror.lan:5000');
  expect(tryCommand('docker', hub)).toBe('docker pull busybox:latest');
  expect(tryCommand('k3s', hub)).toBe('sudo k3s crictl pull docker.io/library/busybox:latest');
  expect(tryCommand('docker', await mirrorAt('http://mirror.lan:5000', 'upstreams: { ghcr.io: }'))).toBe(
    undefined,
  );
});
