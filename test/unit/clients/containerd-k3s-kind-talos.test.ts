/** What containerd, k3s and kind are given: exact for one small configuration, and what changes with the address. */
import { describe, expect, it, test } from 'vitest';
import { parse } from 'yaml';
import { setUpContainerd, setUpK3s, setUpKind } from '../../../src/clients/containerd-k3s-kind-talos.ts';
import { contentOf, mirrorAt } from './client-rig.ts';

const plain = 'http://mirror.lan:5000';
/** A host that images can't name in their path, once without another name and once with one. */
const withPorts =
  'upstreams: { docker.io: , "r.lan:5001": { url: "http://r.lan:5001" }, "s.lan:5002": { aliases: ["s:1", s.alias] } }';

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
