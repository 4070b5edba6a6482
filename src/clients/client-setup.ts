/**
 * What `cistern client` and the page work with: the mirror as its clients have to know it, and the files that make one kind of
 * client pull through it. The files named after clients turn the first into the second; they run in browsers too.
 */

/** All that are known. */
export const clientNames = [
  'docker',
  'containerd',
  'podman',
  'k3s',
  'kind',
  'crio',
  'buildkit',
  'nerdctl',
  'talos',
  'skopeo',
  'crane',
  'helm',
  'oras',
  'cosign',
  'apptainer',
  'gitlab-runner',
  'github-runner',
] as const;
export type ClientName = (typeof clientNames)[number];

/** For clients that have a command for it: what they say is no proof that there are users. */
export const loginNote =
  'A login at this mirror checks the password if the mirror has users; without users it says "Login Succeeded" with any.';

export interface MirrorForClients {
  /** `http://mirror.lan:5000`: neither path nor trailing slash. */
  readonly url: string;
  /**
   * The host as it stands in image names. With a port where the bare name would be no host there (`mirror:443`), or
   * where a client would try another port first (plain http on port 80).
   */
  readonly host: string;
  readonly isPlainHttp: boolean;
  /** Only clients on the mirror's own machine reach it. */
  readonly isLoopback: boolean;
  /** The host is an IPv6 address, which many clients don't take in image names. */
  readonly isIpv6: boolean;
  /** In the order of the configuration. */
  readonly upstreams: readonly UpstreamForClients[];
  /** The key of the upstream that names without a host mean; absent: there is none. */
  readonly defaultUpstream?: string;
}

export interface UpstreamForClients {
  /** The host as it stands in image names: `ghcr.io`. */
  readonly key: string;
  /**
   * What stands for it between the mirror's host and the repository: its key, or an alias. Undefined: image names have
   * no ports in their path, and it has no alias without one.
   */
  readonly segment: string | undefined;
  /** Where clients go without the mirror: `https://ghcr.io`. */
  readonly directUrl: string;
  /** It is Docker Hub, which dockerd asks its mirrors for. */
  readonly isHub: boolean;
}

export interface ClientFile {
  /** Absolute on the client, or relative to where its command is run. */
  readonly path: string;
  /** All of it (`create`), or what has to be in it (`merge`). Ends with a line end. */
  readonly content: string;
  /** `create`: the file is about the mirror alone. `merge`: it may hold other settings. */
  readonly mode: 'create' | 'merge';
  /** Other texts that do the same: a file that has one of them needs nothing. */
  readonly alternatives?: readonly string[];
}

export interface ClientSetup {
  readonly files: readonly ClientFile[];
  /** Commands to run afterwards, in this order. */
  readonly commands: readonly string[];
  /** Sentences. */
  readonly notes: readonly string[];
}

/** This client can't be pointed at this mirror in this way; the message says what would work. Exit code 2. */
export class ClientRefusal extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ClientRefusal';
  }
}

/** A text in double quotes, as TOML, YAML and JSON all read it. For printable ASCII. */
export function quote(text: string): string {
  return JSON.stringify(text);
}
