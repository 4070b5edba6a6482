/**
 * How each kind of client gets to trust an authority: the commands of `cistern certs`. `ca.pem` is the authority's certificate in
 * the folder where they run.
 */
export interface TrustStep {
  /** Of the clients that it is for. */
  readonly clients: string;
  readonly commands: readonly string[];
  readonly notes: readonly string[];
  /** These commands were tried with Cistern. */
  readonly wasRun: boolean;
}

/** `host`: as it stands in image names, with its port. */
export function listTrustSteps(host: string): readonly TrustStep[] {
  return [
    {
      clients: 'Docker, for this registry alone',
      commands: [
        `sudo mkdir -p /etc/docker/certs.d/${host}`,
        `sudo cp ca.pem /etc/docker/certs.d/${host}/ca.crt`,
      ],
      notes: ['No restart. The folder is named as the registry is in image names, port included.'],
      wasRun: true,
    },
    {
      clients: 'Podman, Buildah, Skopeo, CRI-O, for this registry alone',
      commands: [
        `sudo mkdir -p /etc/containers/certs.d/${host}`,
        `sudo cp ca.pem /etc/containers/certs.d/${host}/ca.crt`,
      ],
      notes: ['Without root: ~/.config/containers/certs.d instead of /etc/containers/certs.d.'],
      wasRun: true,
    },
    {
      clients: 'containerd (Kubernetes, nerdctl)',
      commands: [
        `sudo mkdir -p /etc/containerd/certs.d/${host}`,
        `sudo cp ca.pem /etc/containerd/certs.d/${host}/ca.crt`,
        `printf 'server = "https://${host}"\\n[host."https://${host}"]\\n  ca = "/etc/containerd/certs.d/${host}/ca.crt"\\n' | sudo tee /etc/containerd/certs.d/${host}/hosts.toml`,
      ],
      notes: [
        'config_path in /etc/containerd/config.toml must be /etc/containerd/certs.d. No restart for a new folder.',
        'Where the mirror stands in the hosts.toml of another registry (cistern client containerd), add the same ca line there.',
      ],
      wasRun: true,
    },
    {
      clients: 'everything on Debian, Ubuntu',
      commands: [
        'sudo cp ca.pem /usr/local/share/ca-certificates/cistern.crt',
        'sudo update-ca-certificates',
      ],
      notes: ['Programs that run, dockerd and containerd among them, see it after their restart.'],
      wasRun: true,
    },
    {
      clients: 'everything on RHEL, Fedora, Rocky, AlmaLinux',
      commands: ['sudo cp ca.pem /etc/pki/ca-trust/source/anchors/cistern.pem', 'sudo update-ca-trust'],
      notes: ['Programs that run see it after their restart.'],
      wasRun: false,
    },
    {
      clients: 'macOS',
      commands: [
        'sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain ca.pem',
      ],
      notes: ['Docker Desktop takes it over at its next start.'],
      wasRun: false,
    },
    {
      clients: 'Windows, in a shell of an administrator',
      commands: ['certutil -addstore -f Root ca.pem'],
      notes: ['Docker Desktop takes it over at its next start.'],
      wasRun: false,
    },
  ];
}
