/** The clients that the page sets up: how they are grouped and called, and a pull that shows that it worked. Pure functions. */
import type { ClientFile, ClientName, MirrorForClients } from '../../clients/client-setup.ts';

export interface ClientEntry {
  readonly client: ClientName;
  readonly label: string;
}

export interface ClientGroup {
  readonly title: string;
  readonly clients: readonly ClientEntry[];
}

export const clientGroups: readonly ClientGroup[] = [
  {
    title: 'On a machine',
    clients: [
      { client: 'docker', label: 'Docker' },
      { client: 'podman', label: 'Podman' },
      { client: 'containerd', label: 'containerd' },
      { client: 'nerdctl', label: 'nerdctl' },
    ],
  },
  {
    title: 'Kubernetes',
    clients: [
      { client: 'k3s', label: 'k3s, RKE2' },
      { client: 'kind', label: 'kind' },
      { client: 'crio', label: 'CRI-O' },
      { client: 'talos', label: 'Talos' },
    ],
  },
  {
    title: 'Builds and CI',
    clients: [
      { client: 'buildkit', label: 'BuildKit' },
      { client: 'gitlab-runner', label: 'GitLab runner' },
      { client: 'github-runner', label: 'GitHub runner' },
    ],
  },
  {
    title: 'Tools',
    clients: [
      { client: 'skopeo', label: 'Skopeo' },
      { client: 'crane', label: 'crane' },
      { client: 'helm', label: 'Helm' },
      { client: 'oras', label: 'ORAS' },
      { client: 'cosign', label: 'cosign' },
      { client: 'apptainer', label: 'Apptainer' },
    ],
  },
];

export function findClient(name: string | undefined): ClientEntry {
  const all = clientGroups.flatMap(({ clients }) => clients);
  return all.find(({ client }) => client === name) ?? { client: 'docker', label: 'Docker' };
}

/** Writes a file that is about the mirror alone, in a shell. Undefined: the file may hold other settings, which have to stay. */
export function writeCommand({ path, content, mode }: ClientFile): string | undefined {
  if (mode === 'merge') return undefined;
  const isSystems = path.startsWith('/');
  const sudo = isSystems ? 'sudo ' : '';
  const folder = path.slice(0, path.lastIndexOf('/'));
  const make = path.includes('/') ? `${sudo}mkdir -p ${folder}\n` : '';
  const write = isSystems ? `sudo tee ${path} >/dev/null` : `cat >${path}`;
  return `${make}${write} <<'END'\n${content}END\n`;
}

/** Commands for machines need root there; those that make a cluster or pull an image don't. */
export function runCommand(command: string): string {
  return command.startsWith('systemctl ') ? `sudo ${command}` : command;
}

/** A pull of a small image that exists. Undefined: nothing to try that way. */
export function tryCommand(
  client: ClientName,
  { upstreams, defaultUpstream }: MirrorForClients,
): string | undefined {
  const hub = upstreams.find(({ isHub }) => isHub);
  if (hub === undefined) return undefined;
  const image = `${hub.key}/library/busybox:latest`;
  const commands: Partial<Record<ClientName, string>> = {
    ...(defaultUpstream === hub.key && { docker: 'docker pull busybox:latest' }),
    podman: `podman pull ${image}`,
    containerd: `sudo crictl pull ${image}`,
    nerdctl: `sudo nerdctl pull ${image}`,
    k3s: `sudo k3s crictl pull ${image}`,
    kind: `docker exec kind-control-plane crictl pull ${image}`,
    crio: `sudo crictl pull ${image}`,
    buildkit: `printf 'FROM ${image}\\n' | docker buildx build --pull -`,
    skopeo: `skopeo inspect docker://${image}`,
  };
  return commands[client];
}
