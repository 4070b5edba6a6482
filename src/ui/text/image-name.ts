/** Names of images as they are shown, and as each client pulls them through this mirror. Pure functions. */
import type { MirrorForClients } from '../../clients/client-setup.ts';

export interface ImageParts {
  /** Of the upstream; undefined: hosted here. */
  readonly host: string | undefined;
  readonly path: string;
  /** `:3.20` or `@sha256:…`; may be empty. */
  readonly reference: string;
}

/** `image`: canonical. A first segment with a dot or a port, or `localhost`, is a host. */
export function splitImage(image: string): ImageParts {
  const at = image.indexOf('@');
  const colon = at === -1 ? image.lastIndexOf(':') : -1;
  const end = at !== -1 ? at : colon > image.lastIndexOf('/') ? colon : image.length;
  const name = image.slice(0, end);
  const slash = name.indexOf('/');
  const first = slash === -1 ? '' : name.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === 'localhost';
  return {
    host: isHost ? first : undefined,
    path: isHost ? name.slice(slash + 1) : name,
    reference: image.slice(end),
  };
}

/** As people write it: Docker Hub's host and `library/` are left off. */
export function shortName(image: string): string {
  const { host, path, reference } = splitImage(image);
  const isHub = host === 'docker.io';
  return `${host === undefined || isHub ? '' : `${host}/`}${isHub ? path.replace(/^library\//, '') : path}${reference}`;
}

export interface PullCommand {
  readonly client: string;
  readonly command: string;
}

export interface PullCommands {
  /** By the image's own name, for clients that were pointed at the mirror (Set up). */
  readonly bySettings: readonly PullCommand[];
  /** By the mirror's name, for all. */
  readonly byName: readonly PullCommand[];
}

/** `image`: canonical. */
export function pullCommands(image: string, mirror: MirrorForClients): PullCommands {
  const { host, path, reference } = splitImage(image);
  if (host === undefined)
    return { bySettings: [], byName: listByName(`${mirror.host}/${path}${reference}`, mirror) };
  const segment = mirror.upstreams.find(({ key }) => key === host)?.segment;
  const plain = `${host}/${path}${reference}`;
  const isDockers = mirror.upstreams.some(
    ({ key, isHub }) => isHub && key === host && key === mirror.defaultUpstream,
  );
  return {
    bySettings: [
      ...(isDockers ? [{ client: 'Docker', command: `docker pull ${shortName(image)}` }] : []),
      { client: 'Podman', command: `podman pull ${plain}` },
      { client: 'containerd', command: `crictl pull ${plain}` },
      { client: 'Kubernetes', command: `image: ${plain}` },
    ],
    byName: segment === undefined ? [] : listByName(`${mirror.host}/${segment}/${path}${reference}`, mirror),
  };
}

/** Plain HTTP has to be allowed to each client in its own words. */
function listByName(name: string, { isPlainHttp }: MirrorForClients): readonly PullCommand[] {
  const flag = (text: string) => (isPlainHttp ? ` ${text}` : '');
  return [
    { client: 'Docker', command: `docker pull ${name}` },
    { client: 'Podman', command: `podman pull${flag('--tls-verify=false')} ${name}` },
    { client: 'nerdctl', command: `nerdctl pull${flag('--insecure-registry')} ${name}` },
    { client: 'ctr', command: `ctr images pull${flag('--plain-http')} ${name}` },
    { client: 'Skopeo', command: `skopeo copy${flag('--src-tls-verify=false')} docker://${name} oci:image` },
    { client: 'crane', command: `crane pull${flag('--insecure')} ${name} image.tar` },
  ];
}
