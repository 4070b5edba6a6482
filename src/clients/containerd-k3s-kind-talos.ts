/**
 * containerd, and k3s, RKE2 and kind on top of it. containerd reads one hosts.toml per registry, or a single one in `_default`,
 * and tells the mirror by `ns` which registry is meant, so the URL is always the same. The registry itself is the fallback.
 */
import {
  type ClientFile,
  type ClientSetup,
  loginNote,
  type MirrorForClients,
  quote,
} from './client-setup.ts';

const hostsFolder = '/etc/containerd/certs.d';

/** Of a configuration file with `version = 2`, which containerd 2 reads too. */
const registrySection = `[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = ${quote(hostsFolder)}
`;
const registrySection3 = `[plugins."io.containerd.cri.v1.images".registry]
  config_path = ${quote(hostsFolder)}
`;

/** Relative to where `kind create cluster` runs, as all paths for kind. */
const kindFolder = 'certs.d';

export function setUpContainerd(mirror: MirrorForClients, forAll: boolean): ClientSetup {
  return {
    files: [
      {
        path: '/etc/containerd/config.toml',
        content: `version = 2\n\n${registrySection}`,
        mode: 'merge',
        alternatives: [registrySection3],
      },
      ...hostsFiles(mirror, forAll, hostsFolder),
    ],
    commands: ['systemctl restart containerd'],
    notes: [
      'In a config.toml with version = 3 (containerd 2) the section is [plugins."io.containerd.cri.v1.images".registry].',
      'Once config_path is set, containerd reads changed hosts files without a restart.',
      `ctr reads hosts files only with: ctr images pull --hosts-dir ${hostsFolder} …; nerdctl always reads them.`,
    ],
  };
}

/** nerdctl reads the hosts files by itself, whatever containerd's configuration says. */
export function setUpNerdctl(mirror: MirrorForClients, forAll: boolean): ClientSetup {
  return {
    files: hostsFiles(mirror, forAll, hostsFolder),
    commands: [],
    notes: [
      'nerdctl reads them at its next command; no restart is needed.',
      'Rootless nerdctl reads ~/.config/containerd/certs.d.',
      'Kubernetes on the same containerd needs config_path too: cistern client containerd',
      loginNote,
    ],
  };
}

/** k3s and RKE2 write the hosts.toml files of their containerd from registries.yaml. */
export function setUpK3s(mirror: MirrorForClients, forAll: boolean): ClientSetup {
  const registries = forAll ? ['*'] : mirror.upstreams.map(({ key }) => key);
  const entries = registries.map(
    registry => `  ${quote(registry)}:\n    endpoint:\n      - ${quote(mirror.url)}\n`,
  );
  const content = `mirrors:\n${entries.join('')}`;
  return {
    files: [{ path: '/etc/rancher/k3s/registries.yaml', content, mode: 'merge' }],
    commands: ['systemctl restart k3s'],
    notes: [
      'Do this on every node; on agents: systemctl restart k3s-agent',
      'RKE2 takes the same in /etc/rancher/rke2/registries.yaml; restart it with: systemctl restart rke2-server (or rke2-agent)',
      ...(forAll ? ['"*" needs a k3s of 2024 or newer.'] : []),
    ],
  };
}

/** The nodes find the hosts.toml files in a mounted folder. */
export function setUpKind(mirror: MirrorForClients, forAll: boolean): ClientSetup {
  const patch = registrySection.trimEnd().replaceAll(/^/gm, '    ');
  const cluster = `kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
containerdConfigPatches:
  - |-
${patch}
nodes:
  - role: control-plane
    extraMounts:
      - hostPath: ./${kindFolder}
        containerPath: ${hostsFolder}
`;
  return {
    files: [
      { path: 'kind-cistern.yaml', content: cluster, mode: 'create' },
      ...hostsFiles(mirror, forAll, kindFolder),
    ],
    commands: ['kind create cluster --config kind-cistern.yaml'],
    notes: [
      'Every other entry under nodes needs the same extraMounts.',
      'Nodes are containers: the address must be reachable from the network named kind. localhost in a node is the node.',
    ],
  };
}

/** `folder`: where containerd looks for them, or what is mounted there. */
function hostsFiles(mirror: MirrorForClients, forAll: boolean, folder: string): ClientFile[] {
  const host = `[host.${quote(mirror.url)}]\n  capabilities = ["pull", "resolve"]\n`;
  if (forAll) return [{ path: `${folder}/_default/hosts.toml`, content: host, mode: 'create' }];
  return mirror.upstreams.map(({ key, directUrl }) => ({
    path: `${folder}/${key}/hosts.toml`,
    content: `server = ${quote(directUrl)}\n\n${host}`,
    mode: 'create',
  }));
}

const talosPatch = 'talos-cistern.yaml';

/**
 * Talos Linux: a patch for the machine configuration. Talos writes the hosts files of its containerd from it, so the mirror
 * learns the registry by `ns`, and the registry itself is the fallback.
 */
export function setUpTalos(mirror: MirrorForClients, forAll: boolean): ClientSetup {
  const registries = forAll ? ['*'] : mirror.upstreams.map(({ key }) => key);
  const entries = registries.map(
    registry => `      ${quote(registry)}:\n        endpoints:\n          - ${quote(mirror.url)}\n`,
  );
  return {
    files: [
      {
        path: talosPatch,
        content: `machine:\n  registries:\n    mirrors:\n${entries.join('')}`,
        mode: 'create',
      },
    ],
    commands: [`talosctl patch machineconfig --nodes NODE --patch @${talosPatch}`],
    notes: [
      'Do this for every node. Talos takes it over without a reboot.',
      `For a new cluster: talosctl gen config NAME URL --config-patch @${talosPatch}`,
      'A mirror with https and a CA of its own: the CA goes under machine.registries.config, or in a TrustedRootsConfig.',
    ],
  };
}
