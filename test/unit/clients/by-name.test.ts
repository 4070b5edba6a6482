/** Tools that are pointed at the mirror by its own name. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parse } from 'yaml';
import { clientNames } from '../../../src/clients/client-setup.ts';
import { ConfigFolder } from '../config/config-folder.ts';
import { runIn } from './client-rig.ts';

let folder: ConfigFolder;

beforeEach(async () => {
  folder = await ConfigFolder.create();
  await folder.write('mirror.yml', 'upstreams: { docker.io: , ghcr.io: , "r.lan:5000": }');
});

afterEach(async () => {
  await folder.remove();
});

async function setup(client: string, url = 'http://mirror.lan:5000', more: { forAll?: boolean } = {}) {
  const { code, output } = await runIn(folder, { client, url, json: true, ...more });
  expect(code).toBe(0);
  return JSON.parse(output);
}

it.each([
  [
    'crane',
    'crane pull --insecure mirror.lan:5000/docker.io/library/busybox:latest image.tar',
    'crane pull mirror.lan/ghcr.io/OWNER/IMAGE:TAG image.tar',
  ],
  [
    'helm',
    'helm pull oci://mirror.lan:5000/docker.io/OWNER/CHART --version VERSION --plain-http',
    'helm pull oci://mirror.lan/ghcr.io/OWNER/CHART --version VERSION',
  ],
  [
    'oras',
    'oras pull --plain-http mirror.lan:5000/docker.io/library/busybox:latest',
    'oras pull mirror.lan/ghcr.io/OWNER/IMAGE:TAG',
  ],
  [
    'cosign',
    'cosign verify --allow-http-registry --key cosign.pub mirror.lan:5000/docker.io/library/busybox:latest',
    'cosign verify --key cosign.pub mirror.lan/ghcr.io/OWNER/IMAGE:TAG',
  ],
  [
    'apptainer',
    'apptainer pull --no-https docker://mirror.lan:5000/docker.io/library/busybox:latest',
    'apptainer pull docker://mirror.lan/ghcr.io/OWNER/IMAGE:TAG',
  ],
])('%s: the flag for plain http, and none for https', async (client, plain, secure) => {
  const { files, then: commands, notes } = await setup(client);
  expect(files).toEqual([]);
  expect(commands[0]).toBe(plain);
  expect(commands).toHaveLength(2);
  expect((await setup(client, 'https://mirror.lan')).then[1]).toBe(secure);
  expect(notes.filter((note: string) => note.startsWith('r.lan:5000 is left out'))).toHaveLength(1);
  expect(notes.at(-1)).toContain('"Login Succeeded" with any');
});

it('skopeo: the file of podman, and the way without it', async () => {
  const { files, notes } = await setup('skopeo');
  expect(files).toEqual((await setup('podman')).files);
  expect(notes.at(-1)).toContain(
    'skopeo copy --src-tls-verify=false docker://mirror.lan:5000/docker.io/library/busybox:latest dir:image',
  );
});

it('nerdctl: the hosts files of containerd, and no config.toml', async () => {
  const paths = ({ files }: { files: { path: string }[] }) => files.map(({ path }) => path);
  expect(paths(await setup('nerdctl'))).toEqual(
    paths(await setup('containerd')).filter(path => path.endsWith('hosts.toml')),
  );
  expect(paths(await setup('nerdctl', undefined, { forAll: true }))).toEqual([
    '/etc/containerd/certs.d/_default/hosts.toml',
  ]);
});

it('talos: a patch with a mirror for each registry, or for all of them', async () => {
  const mirrorsOf = async (forAll: boolean) =>
    parse((await setup('talos', undefined, { forAll })).files[0].content).machine.registries.mirrors;
  const entry = { endpoints: ['http://mirror.lan:5000'] };
  expect(await mirrorsOf(false)).toEqual({ 'docker.io': entry, 'ghcr.io': entry, 'r.lan:5000': entry });
  expect(await mirrorsOf(true)).toEqual({ '*': entry });
});

it.each(['docker', 'podman', 'skopeo', 'nerdctl'])('%s says what a login is worth', async client => {
  expect((await setup(client)).notes.join('\n')).toContain('says "Login Succeeded" with any');
});

it('knows each of its clients, and suggests the nearest', async () => {
  for (const client of clientNames) expect((await setup(client)).client).toBe(client);
  const { code, errors } = await runIn(folder, { client: 'hlem', url: 'http://mirror.lan:5000' });
  expect({ code, errors }).toEqual({
    code: 2,
    errors: expect.stringMatching(/ got hlem \(did you mean helm\?\)\n$/),
  });
});
