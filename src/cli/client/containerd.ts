/**
 * containerd: one hosts.toml per upstream, or a single one in `_default` for every registry. containerd tells the mirror by `ns`
 * which registry is meant, so the URL is always the same; what the mirror can't answer it asks `server`.
 */
import { type ClientFile, type ClientSetup, type MirrorForClients, quote } from './client-setup.ts';

export const hostsFolder = '/etc/containerd/certs.d';

/** Of a configuration file with `version = 2`, which containerd 2 reads too. */
export const registrySection = `[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = ${quote(hostsFolder)}
`;
const registrySection3 = `[plugins."io.containerd.cri.v1.images".registry]
  config_path = ${quote(hostsFolder)}
`;

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
      'Once config_path is set, changed hosts files count without a restart.',
      `ctr reads them only with: ctr images pull --hosts-dir ${hostsFolder} …; nerdctl reads them by itself.`,
    ],
  };
}

/** `folder`: where containerd, or whoever mounts it for containerd, looks for them. */
export function hostsFiles(mirror: MirrorForClients, forAll: boolean, folder: string): ClientFile[] {
  const host = `[host.${quote(mirror.url)}]\n  capabilities = ["pull", "resolve"]\n`;
  if (forAll) return [{ path: `${folder}/_default/hosts.toml`, content: host, mode: 'create' }];
  return mirror.upstreams.map(({ key, directUrl }) => ({
    path: `${folder}/${key}/hosts.toml`,
    content: `server = ${quote(directUrl)}\n\n${host}`,
    mode: 'create',
  }));
}
