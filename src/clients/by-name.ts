/**
 * Tools without a setting for mirrors: crane, helm, oras, cosign and apptainer pull by the mirror's own name, with the
 * registry's host in the path (`mirror.lan:5000/ghcr.io/OWNER/IMAGE`); and skopeo, which has both ways. Plain http has to be
 * allowed to each of them in its own words.
 */
import { type ClientSetup, loginNote, type MirrorForClients } from './client-setup.ts';
import { setUpPodman } from './podman-crio.ts';

export function setUpCrane(mirror: MirrorForClients): ClientSetup {
  const flag = mirror.isPlainHttp ? ' --insecure' : '';
  return byName(mirror, {
    commands: mirrored(mirror).map(name => `crane pull${flag} ${name} image.tar`),
    notes: ['All other commands of crane take the same names and the same flag.'],
  });
}

export function setUpHelm(mirror: MirrorForClients): ClientSetup {
  const flag = mirror.isPlainHttp ? ' --plain-http' : '';
  const charts = segments(mirror).map(segment => `oci://${mirror.host}/${segment}/OWNER/CHART`);
  return byName(mirror, {
    commands: charts.map(chart => `helm pull ${chart} --version VERSION${flag}`),
    notes: [
      'install, upgrade, template and show take the same; repository in the dependencies of a Chart.yaml is the part before CHART.',
      ...(mirror.isPlainHttp ? ['--plain-http needs Helm 3.13 or newer.'] : []),
      'The images that a chart names are pulled by the cluster: cistern client containerd',
    ],
  });
}

export function setUpOras(mirror: MirrorForClients): ClientSetup {
  const flag = mirror.isPlainHttp ? ' --plain-http' : '';
  return byName(mirror, {
    commands: mirrored(mirror).map(name => `oras pull${flag} ${name}`),
    notes: ['discover, manifest fetch, blob fetch and repo tags take the same names and the same flag.'],
  });
}

export function setUpCosign(mirror: MirrorForClients): ClientSetup {
  const flag = mirror.isPlainHttp ? ' --allow-http-registry' : '';
  return byName(mirror, {
    commands: mirrored(mirror).map(name => `cosign verify${flag} --key cosign.pub ${name}`),
    notes: [
      'Signatures come through the mirror like images, and are kept like them.',
      'A signature is about the digest, so it is as good under this name as under the own name of the image.',
    ],
  });
}

export function setUpApptainer(mirror: MirrorForClients): ClientSetup {
  const flag = mirror.isPlainHttp ? ' --no-https' : '';
  return byName(mirror, {
    commands: mirrored(mirror).map(name => `apptainer pull${flag} docker://${name}`),
    notes: [
      'In a definition file: "Bootstrap: docker" and the name without docker:// after "From:".',
      'SingularityCE takes the same.',
    ],
  });
}

/** Errors: as `setUpPodman`. */
export function setUpSkopeo(mirror: MirrorForClients): ClientSetup {
  const { files, notes } = setUpPodman(mirror);
  const flag = mirror.isPlainHttp ? ' --src-tls-verify=false' : '';
  const [example] = mirrored(mirror);
  return {
    files,
    commands: [],
    notes: [
      ...notes,
      ...(example === undefined
        ? []
        : [`By the name of the mirror, without that file: skopeo copy${flag} docker://${example} dir:image`]),
    ],
  };
}

function byName(mirror: MirrorForClients, { commands, notes }: Omit<ClientSetup, 'files'>): ClientSetup {
  const leftOut = mirror.upstreams.filter(({ segment }) => segment === undefined);
  return {
    files: [],
    commands,
    notes: [
      ...notes,
      'What the mirror cannot get is asked for nowhere else: the name is that of the mirror.',
      ...leftOut.map(
        ({ key }) =>
          `${key} is left out: image names have no ports in their path. Add an alias without a port (upstreams.${key}.aliases).`,
      ),
      ...(mirror.isIpv6
        ? [
            'Many tools refuse IPv6 addresses in image names; a host name works with all (--url http://NAME:PORT).',
          ]
        : []),
      loginNote,
    ],
  };
}

/** A name for each upstream: of Docker Hub one that exists. */
function mirrored(mirror: MirrorForClients): string[] {
  return mirror.upstreams.flatMap(({ segment, isHub }) => {
    if (segment === undefined) return [];
    return [`${mirror.host}/${segment}/${isHub ? 'library/busybox:latest' : 'OWNER/IMAGE:TAG'}`];
  });
}

function segments({ upstreams }: MirrorForClients): string[] {
  return upstreams.flatMap(({ segment }) => (segment === undefined ? [] : [segment]));
}
