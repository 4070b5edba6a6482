/**
 * kind: a cluster whose nodes find the hosts.toml files in a folder that is mounted from here. All paths are relative to where
 * `kind create cluster` is run.
 */

import type { ClientSetup, MirrorForClients } from './client-setup.ts';
import { hostsFiles, hostsFolder, registrySection } from './containerd.ts';

const folder = 'certs.d';

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
      - hostPath: ./${folder}
        containerPath: ${hostsFolder}
`;
  return {
    files: [
      { path: 'kind-cistern.yaml', content: cluster, mode: 'create' },
      ...hostsFiles(mirror, forAll, folder),
    ],
    commands: ['kind create cluster --config kind-cistern.yaml'],
    notes: [
      'Every further node under nodes needs the same extraMounts.',
      'Nodes are containers: the address must be reachable from their network, which is called kind. localhost in a node is the node.',
    ],
  };
}
