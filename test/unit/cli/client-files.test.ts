/** What each client is given: exact for one small configuration, and what changes with the address. */
import { describe, expect, it, test } from 'vitest';
import { parse } from 'yaml';
import { setUpBuildkit } from '../../../src/cli/client/buildkit.ts';
import { ClientRefusal } from '../../../src/cli/client/client-setup.ts';
import { setUpContainerd } from '../../../src/cli/client/containerd.ts';
import { setUpCrio } from '../../../src/cli/client/crio.ts';
import { setUpDocker } from '../../../src/cli/client/docker.ts';
import { setUpK3s } from '../../../src/cli/client/k3s.ts';
import { setUpKind } from '../../../src/cli/client/kind.ts';
import { setUpPodman } from '../../../src/cli/client/podman.ts';
import { contentOf, mirrorAt } from './client-rig.ts';

const plain = 'http://mirror.lan:5000';
/** A host that images can't name in their path, once without another name and once with one. */
const withPorts =
  'upstreams: { docker.io: , "r.lan:5001": { url: "http://r.lan:5001" }, "s.lan:5002": { aliases: ["s:1", s.alias] } }';
const podmanConf = '/etc/containers/registries.conf.d/cistern.conf';
const daemonJson = '/etc/docker/daemon.json';

describe('docker', () => {
  it('gets the mirror for Docker Hub, and leave to speak http with it', async () => {
    const { files, commands, notes } = setUpDocker(await mirrorAt(plain));
    const content = `{
  "registry-mirrors": ["http://mirror.lan:5000"],
  "insecure-registries": ["mirror.lan:5000"]
}
`;
    expect(files).toEqual([{ path: daemonJson, content, mode: 'merge' }]);
    expect(commands).toEqual(['systemctl restart docker']);
    expect(notes).toContain('ghcr.io: docker pull mirror.lan:5000/ghcr.io/OWNER/IMAGE:TAG');
    expect(notes.join('\n')).not.toContain('docker.io: docker pull');
  });

  it.each([
    ['https://mirror.lan', { 'registry-mirrors': ['https://mirror.lan'] }],
    ['http://127.0.0.1:5000', { 'registry-mirrors': ['http://127.0.0.1:5000'] }],
    ['http://localhost:5000', { 'registry-mirrors': ['http://localhost:5000'] }],
    [
      'http://mirror.lan',
      { 'registry-mirrors': ['http://mirror.lan'], 'insecure-registries': ['mirror.lan:80'] },
    ],
    [
      'http://[fd00::1]:5000',
      { 'registry-mirrors': ['http://[fd00::1]:5000'], 'insecure-registries': ['[fd00::1]:5000'] },
    ],
  ])('at %s', async (url, settings) => {
    expect(JSON.parse(contentOf(setUpDocker(await mirrorAt(url)), daemonJson))).toEqual(settings);
  });

  it('asks for nothing by plain names when those mean another upstream', async () => {
    const mirror = await mirrorAt(plain, 'upstreams: { quay.io: , docker.io: }\ndefault_upstream: quay.io');
    const setup = setUpDocker(mirror);
    expect(contentOf(setup, daemonJson)).toBe('{\n  "insecure-registries": ["mirror.lan:5000"]\n}\n');
    expect(setup.notes).toContain('docker.io: docker pull mirror.lan:5000/docker.io/OWNER/IMAGE:TAG');
    expect(setUpDocker({ ...mirror, isPlainHttp: false })).toMatchObject({ files: [], commands: [] });
  });

  it('names an upstream with a port by an alias without one, or not at all', async () => {
    const notes = setUpDocker(await mirrorAt('https://m', withPorts)).notes.join('\n');
    expect(notes).toContain('s.lan:5002: docker pull m:443/s.alias/OWNER/IMAGE:TAG');
    expect(notes).toContain('r.lan:5001: image names have no ports in their path');
    expect(notes).not.toContain('m:443/r.lan');
  });
});

describe('containerd', () => {
  it('gets a hosts file for each upstream, with the registry behind the mirror', async () => {
    const { files, commands } = setUpContainerd(await mirrorAt(plain), false);
    const host = '[host."http://mirror.lan:5000"]\n  capabilities = ["pull", "resolve"]\n';
    expect(files.map(({ path, content, mode }) => ({ path, content, mode }))).toEqual([
      {
        path: '/etc/containerd/config.toml',
        content: `version = 2

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
`,
        mode: 'merge',
      },
      {
        path: '/etc/containerd/certs.d/docker.io/hosts.toml',
        content: `server = "https://registry-1.docker.io"\n\n${host}`,
        mode: 'create',
      },
      {
        path: '/etc/containerd/certs.d/ghcr.io/hosts.toml',
        content: `server = "https://ghcr.io"\n\n${host}`,
        mode: 'create',
      },
    ]);
    expect(commands).toEqual(['systemctl restart containerd']);
  });

  it('gets one file for all registries with --default', async () => {
    const { files } = setUpContainerd(await mirrorAt(plain), true);
    expect(files.map(({ path }) => path)).toEqual([
      '/etc/containerd/config.toml',
      '/etc/containerd/certs.d/_default/hosts.toml',
    ]);
    expect(files[1]?.content).toBe('[host."http://mirror.lan:5000"]\n  capabilities = ["pull", "resolve"]\n');
  });

  it('falls back to where the registry of that name is, not to where the mirror goes', async () => {
    const configuration =
      'upstreams: { "r.lan:5001": { url: "http://r.lan:5001" }, ghcr.io: { url: "http://10.0.0.1:5000" } }';
    const setup = setUpContainerd(await mirrorAt('http://[fd00::1]:5000', configuration), false);
    const host = '[host."http://[fd00::1]:5000"]\n  capabilities = ["pull", "resolve"]\n';
    expect(contentOf(setup, '/etc/containerd/certs.d/r.lan:5001/hosts.toml')).toBe(
      `server = "http://r.lan:5001"\n\n${host}`,
    );
    expect(contentOf(setup, '/etc/containerd/certs.d/ghcr.io/hosts.toml')).toBe(
      `server = "https://ghcr.io"\n\n${host}`,
    );
  });
});

describe.each([
  ['podman', setUpPodman, []],
  ['crio', setUpCrio, ['systemctl restart crio']],
] as const)('%s', (_name, setUp, restart) => {
  it('gets a mirror for each upstream, with its host in the path', async () => {
    const { files, commands } = setUp(await mirrorAt(plain));
    const content = `[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "mirror.lan:5000/docker.io"
insecure = true

[[registry]]
location = "ghcr.io"
[[registry.mirror]]
location = "mirror.lan:5000/ghcr.io"
insecure = true
`;
    expect(files).toEqual([{ path: podmanConf, content, mode: 'create' }]);
    expect(commands).toEqual(restart);
  });

  it.each([
    ['https://mirror.lan', 'mirror.lan/docker.io'],
    ['https://mirror', 'mirror:443/docker.io'],
    ['https://mirror.lan:8443', 'mirror.lan:8443/docker.io'],
  ])('is not made to trust %s', async (url, location) => {
    const content = contentOf(setUp(await mirrorAt(url, 'upstreams: { docker.io: }')), podmanConf);
    expect(content).toBe(
      `[[registry]]\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "${location}"\n`,
    );
  });

  it('gets no location that is no image name, which would break every pull of that registry', async () => {
    const setup = setUp(await mirrorAt(plain, withPorts));
    const content = contentOf(setup, podmanConf);
    expect(content.match(/^location = .*$/gm)).toEqual([
      'location = "docker.io"',
      'location = "mirror.lan:5000/docker.io"',
      'location = "s.lan:5002"',
      'location = "mirror.lan:5000/s.alias"',
    ]);
    expect(setup.notes.join('\n')).toContain('r.lan:5001 is left out');
    const ports = await mirrorAt(plain, 'upstreams: { "r.lan:5001": }');
    expect(setUp(ports)).toMatchObject({ files: [], commands: [] });
    const ipv6 = await mirrorAt('http://[fd00::1]:5000');
    expect(() => setUp(ipv6)).toThrow(ClientRefusal);
  });
});

describe('k3s', () => {
  it('gets an endpoint for each upstream', async () => {
    const { files, commands } = setUpK3s(await mirrorAt(plain), false);
    const content = `mirrors:
  "docker.io":
    endpoint:
      - "http://mirror.lan:5000"
  "ghcr.io":
    endpoint:
      - "http://mirror.lan:5000"
`;
    expect(files).toEqual([{ path: '/etc/rancher/k3s/registries.yaml', content, mode: 'merge' }]);
    expect(commands).toEqual(['systemctl restart k3s']);
  });

  test.each([
    [true, 'http://[fd00::1]:5000', ['*']],
    [false, 'https://mirror', ['docker.io', 'r.lan:5001', 's.lan:5002']],
  ])('for all %s at %s', async (forAll, url, keys) => {
    const [file] = setUpK3s(await mirrorAt(url, withPorts), forAll).files;
    expect(parse(file?.content ?? '')).toEqual({
      mirrors: Object.fromEntries(keys.map(key => [key, { endpoint: [url] }])),
    });
  });
});

describe('kind', () => {
  it('gets a cluster whose nodes see the hosts files', async () => {
    const { files, commands } = setUpKind(await mirrorAt(plain), false);
    expect(files.map(({ path, mode }) => [path, mode])).toEqual([
      ['kind-cistern.yaml', 'create'],
      ['certs.d/docker.io/hosts.toml', 'create'],
      ['certs.d/ghcr.io/hosts.toml', 'create'],
    ]);
    expect(parse(files[0]?.content ?? '')).toEqual({
      kind: 'Cluster',
      apiVersion: 'kind.x-k8s.io/v1alpha4',
      containerdConfigPatches: [
        '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"',
      ],
      nodes: [
        {
          role: 'control-plane',
          extraMounts: [{ hostPath: './certs.d', containerPath: '/etc/containerd/certs.d' }],
        },
      ],
    });
    expect(commands).toEqual(['kind create cluster --config kind-cistern.yaml']);
  });

  it('gets the hosts files of containerd, also the one for all', async () => {
    const mirror = await mirrorAt(plain, withPorts);
    for (const forAll of [false, true]) {
      const inNodes = setUpKind(mirror, forAll).files.slice(1);
      const onHosts = setUpContainerd(mirror, forAll).files.slice(1);
      expect(inNodes.map(file => ({ ...file, path: `/etc/containerd/${file.path}` }))).toEqual(onHosts);
    }
  });
});

describe('buildkit', () => {
  it('gets a mirror for each upstream, and that it speaks http', async () => {
    const { files, commands } = setUpBuildkit(await mirrorAt(plain));
    const content = `[registry."docker.io"]
  mirrors = ["mirror.lan:5000"]

[registry."ghcr.io"]
  mirrors = ["mirror.lan:5000"]

[registry."mirror.lan:5000"]
  http = true
`;
    expect(files).toEqual([{ path: '/etc/buildkit/buildkitd.toml', content, mode: 'merge' }]);
    expect(commands).toEqual(['systemctl restart buildkit']);
  });

  it('gets no more than the host for https', async () => {
    const [file] = setUpBuildkit(await mirrorAt('https://mirror.lan', 'upstreams: { quay.io: }')).files;
    expect(file?.content).toBe('[registry."quay.io"]\n  mirrors = ["mirror.lan"]\n');
  });
});
