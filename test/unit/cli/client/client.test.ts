/** `cistern client`: its output for people and for programs, what `--write` does to files that are there, its exit codes. */
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runIn, twoUpstreams } from '../../clients/client-rig.ts';
import { ConfigFolder } from '../../config/config-folder.ts';

let folder: ConfigFolder;
const url = 'http://mirror.lan:5000';

beforeEach(async () => {
  folder = await ConfigFolder.create();
  await folder.write('mirror.yml', twoUpstreams);
});

afterEach(async () => {
  await folder.remove();
});

describe('cistern client', () => {
  it('prints each file under its path, what to run, and what else to know', async () => {
    expect(await runIn(folder, { client: 'crio', url })).toEqual({
      code: 0,
      output: `# crio, through http://mirror.lan:5000

# /etc/containers/registries.conf.d/cistern.conf
[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "mirror.lan:5000/docker.io"
insecure = true

[[registry]]
location = "ghcr.io"
[[registry.mirror]]
location = "mirror.lan:5000/ghcr.io"
insecure = true

# then
systemctl restart crio

# - Do this on every node. Running containers go on while CRI-O restarts.
`,
      errors: '',
    });
    const { output } = await runIn(folder, { client: 'docker', url });
    expect(output).toContain('# /etc/docker/daemon.json (merge into existing content)\n{\n');
  });

  it('prints JSON', async () => {
    const { code, output } = await runIn(folder, { client: 'buildkit', url, json: true });
    expect(code).toBe(0);
    const { then: commands, ...rest } = JSON.parse(output);
    expect(commands).toEqual(['systemctl restart buildkit']);
    expect(rest).toEqual({
      client: 'buildkit',
      files: [
        {
          path: '/etc/buildkit/buildkitd.toml',
          content: expect.stringContaining('[registry."ghcr.io"]\n  mirrors = ["mirror.lan:5000"]\n'),
          mode: 'merge',
        },
      ],
      notes: expect.any(Array),
    });
    const containerd = await runIn(folder, { client: 'containerd', url, json: true });
    for (const file of JSON.parse(containerd.output).files)
      expect(Object.keys(file)).toEqual(['path', 'content', 'mode']);
  });

  it('says that an address is a guess, or for this machine only', async () => {
    const address = {
      address: '10.1.2.3',
      family: 'IPv4',
      internal: false,
      netmask: '',
      mac: '',
      cidr: null,
    } as const;
    const guess = await runIn(folder, { client: 'k3s', interfaces: () => ({ eth0: [address] }) });
    expect(guess.code).toBe(0);
    expect(guess.output).toContain('      - "http://10.1.2.3:5000"\n');
    expect(guess.output).toContain('# - http://10.1.2.3:5000 is a guess');
    const local = await runIn(folder, { client: 'k3s', url: 'http://localhost:5000' });
    expect(local.output).toContain('# - Only clients on this machine reach http://localhost:5000.');
    const said = await runIn(folder, { client: 'k3s', url });
    expect(said.output).not.toMatch(/guess|Only clients/);
  });

  it.each([
    [
      { client: 'rkt', url },
      'expected one of docker, containerd, podman, k3s, kind, crio, buildkit, nerdctl, talos, skopeo, crane, helm, oras, cosign, apptainer, gitlab-runner, github-runner, got rkt\n',
    ],
    [{ client: 'constructor', url }, /^expected one of .*, got constructor\n$/],
    [{ client: 'podman', url, forAll: true }, '--default: podman has no entry for all registries\n'],
    [
      { client: 'podman', url: 'http://[fd00::1]:5000' },
      /^registries\.conf takes no IPv6 address .* a name or an IPv4 address .*NAME:PORT\n$/,
    ],
    [{ client: 'docker', url: 'mirror.lan' }, /^--url: expected a URL such as/],
    [{ client: 'docker' }, /^--url: needed \(http:\/\/NAME:PORT\), because http\.listen/],
    [{ client: 'docker', url, file: 'absent.yml' }, /^absent\.yml: /],
  ])('ends with 2 for %j', async (options, message) => {
    const { code, output, errors } = await runIn(folder, options);
    expect({ code, output }).toEqual({ code: 2, output: '' });
    expect(errors).toMatch(message);
  });

  it('prints warnings of the configuration beside its output', async () => {
    const { code, errors } = await runIn(folder, { client: 'docker', url, env: { CISTERN_X: '1' } });
    expect({ code, errors }).toEqual({
      code: 0,
      errors: expect.stringMatching(/^environment:CISTERN_X: warning: /),
    });
  });
});

describe('cistern client --write', () => {
  const daemonJson = 'root/etc/docker/daemon.json';
  const inRoot = (path: string) => join(folder.path, path);
  const read = async (path: string) => await readFile(inRoot(path), 'utf8');
  const writeTo = async (client: string, more: { url?: string; json?: boolean } = {}) =>
    await runIn(folder, { client, url, writeTo: 'root', ...more });

  it('puts the printed files there, and changes nothing when it is done again', async () => {
    const printed = JSON.parse((await runIn(folder, { client: 'containerd', url, json: true })).output);
    const { code, output } = await writeTo('containerd');
    expect(code).toBe(0);
    expect(output).toMatch(/^(?:written \S+\n){3}\n# then\nsystemctl restart containerd\n/);
    for (const { path, content } of printed.files) expect(await read(`root${path}`)).toBe(content);
    const again = JSON.parse((await writeTo('containerd', { json: true })).output);
    expect(again.written).toEqual(
      printed.files.map(({ path }: { path: string }) => ({
        path: inRoot(`root${path}`),
        outcome: 'unchanged',
      })),
    );
  });

  it('adds to a daemon.json that is there, through a link too, and keeps the rest', async () => {
    const present = { 'log-level': 'warn', 'registry-mirrors': ['https://other.lan'], features: { x: true } };
    const real = await folder.write('elsewhere/daemon.json', JSON.stringify(present, undefined, '\t'));
    await mkdir(dirname(inRoot(daemonJson)), { recursive: true });
    await symlink(real, inRoot(daemonJson));
    expect(await writeTo('docker')).toMatchObject({ code: 0 });
    const merged = {
      ...present,
      'registry-mirrors': ['https://other.lan', url],
      'insecure-registries': ['mirror.lan:5000'],
    };
    expect(await readFile(real, 'utf8')).toBe(`${JSON.stringify(merged, undefined, '\t')}\n`);
    expect(await readdir(dirname(real))).toEqual(['daemon.json']);
    const { mtimeMs } = await stat(real);
    expect((await writeTo('docker')).output).toContain(`unchanged ${inRoot(daemonJson)}\n`);
    expect((await stat(real)).mtimeMs).toBe(mtimeMs);
  });

  it.each([
    ['no JSON', '{ "log-level": "warn", }'],
    ['no object', '[]'],
    ['another thing where a list belongs', '{ "registry-mirrors": "https://other.lan" }'],
  ])('refuses a daemon.json with %s', async (_what, text) => {
    await folder.write(daemonJson, text);
    const { code, output } = await writeTo('docker');
    expect(code).toBe(1);
    expect(output).toContain(
      `refused ${inRoot(daemonJson)}: it has other content; add this by hand:\n    {\n`,
    );
    expect(await read(daemonJson)).toBe(text);
  });

  it('leaves other files as they are: those that say it already, and those that do not', async () => {
    const config = 'root/etc/containerd/config.toml';
    const hosts = 'root/etc/containerd/certs.d/ghcr.io/hosts.toml';
    const three = `version = 3

[plugins."io.containerd.cri.v1.images".registry]
    config_path = "/etc/containerd/certs.d"
    other = 1
`;
    const own = '[host."https://other.lan"]\n';
    await folder.write(config, three);
    await folder.write(hosts, own);
    const { code, output } = await writeTo('containerd', { json: true });
    expect(code).toBe(1);
    expect(JSON.parse(output).written.map(({ outcome }: { outcome: string }) => outcome)).toEqual([
      'unchanged',
      'written',
      'refused',
    ]);
    expect([await read(config), await read(hosts)]).toEqual([three, own]);
    await writeFile(inRoot(config), three.replace('config_path', '# config_path'));
    expect((await writeTo('containerd')).output).toContain(`refused ${inRoot(config)}: `);
  });

  it('fails where it cannot write', async () => {
    await folder.write('root/etc', 'no folder');
    await expect(writeTo('docker')).rejects.toThrow(inRoot('root/etc'));
  });
});
