/**
 * `cistern certs`: which authority clients have to trust for the mirror's HTTPS, and how each kind of client does. It reads the
 * configuration and the certificate, and doesn't use the network.
 */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { describeForClients } from '../../clients/mirror-description.ts';
import { type LoadOptions, loadConfig } from '../../config/load.ts';
import { ConfigError } from '../../config/problem.ts';
import { describeReadError } from '../../config/referenced-file.ts';
import { tlsFolderOf } from '../../store/layout.ts';
import { findMirrorUrl, type NetworkInterfaces } from './mirror-url.ts';

export interface CertsOptions extends LoadOptions {
  /** `--url`. */
  readonly url?: string;
  readonly json?: boolean;
  readonly write: (text: string) => void;
  readonly writeError: (text: string) => void;
  /** Left out: those of this machine. */
  readonly interfaces?: () => NetworkInterfaces;
}

interface Shown {
  /** Of the authority with `tls: auto`, else of the mirror. Absolute. */
  readonly file: string;
  readonly certificate: X509Certificate;
  readonly isOwn: boolean;
}

interface TrustStep {
  /** Of the clients that it is for. */
  readonly clients: string;
  readonly commands: readonly string[];
  readonly notes: readonly string[];
  /** These commands were tried with Cistern. */
  readonly wasRun: boolean;
}

/** Resolves with the exit code: 0 printed, 1 there is no certificate to read, 2 not possible as configured. */
export async function runCerts(options: CertsOptions): Promise<number> {
  const { json, write, writeError, url: given, interfaces = networkInterfaces } = options;
  try {
    const { config, source } = await loadConfig(options);
    const { http, store } = config;
    if (http.tls === undefined) {
      writeError(
        `http.tls is not set (${source}): this mirror speaks plain HTTP, and clients need no certificate\n`,
      );
      return 2;
    }
    const { files } = http.tls;
    const file = files?.certificate ?? join(tlsFolderOf(store.path), 'ca.pem');
    const text = await readFile(file, 'utf8').catch(describeReadError);
    if (!text.includes('BEGIN CERTIFICATE')) {
      writeError(`${file}: ${text}; start the mirror once, and run this as the same user\n`);
      return 1;
    }
    const shown = { file, certificate: new X509Certificate(text), isOwn: files === undefined };
    const secure = { ...http, listen: http.listen.filter(({ tls }) => tls === true) };
    const { url } = findMirrorUrl({ given, http: secure, interfaces });
    const mirror = describeForClients(config, url);
    const steps = listTrustSteps(mirror.host);
    write(json === true ? formatJson(shown, mirror.url, steps) : formatText(shown, mirror.url, steps));
    return 0;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    writeError(`${error.message}\n`);
    return 2;
  }
}

function formatJson({ file, certificate, isOwn }: Shown, url: string, clients: readonly TrustStep[]): string {
  const { fingerprint256, validTo, issuer } = certificate;
  const shown = {
    url,
    file,
    isOwn,
    issuer,
    fingerprint256,
    validTo: new Date(validTo).toISOString(),
    clients,
  };
  return `${JSON.stringify(shown, undefined, 2)}\n`;
}

function formatText(shown: Shown, url: string, steps: readonly TrustStep[]): string {
  const sections = steps.map(({ clients, commands, notes, wasRun }) =>
    [
      `# ${clients}${wasRun ? '' : ' (not run here)'}`,
      ...notes.map(note => `# ${note}`),
      ...commands,
      '',
    ].join('\n'),
  );
  return [...formatHead(shown, url), '', ...sections].join('\n');
}

function formatHead({ file, certificate, isOwn }: Shown, url: string): string[] {
  const until = new Date(certificate.validTo).toISOString().slice(0, 10);
  if (!isOwn) {
    return [
      `# ${url} shows the certificate in ${file}, valid until ${until}.`,
      `# Its issuer: ${certificate.issuer.replaceAll('\n', ', ')}.`,
      '# Clients that know this issuer need nothing. For the others, ca.pem below is the certificate of that issuer.',
    ];
  }
  return [
    `# The authority of ${url}: ${file}, valid until ${until}.`,
    '# Get it on a client, and compare its fingerprint with the next line:',
    `#   ${certificate.fingerprint256}`,
    `curl -fsSko ca.pem ${url}/ca.pem`,
    'openssl x509 -noout -fingerprint -sha256 -in ca.pem',
  ];
}

/** `host`: as it stands in image names, with its port. `ca.pem` is in the folder where the commands run. */
function listTrustSteps(host: string): readonly TrustStep[] {
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
