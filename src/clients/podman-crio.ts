/**
 * podman, buildah, skopeo and CRI-O: a drop-in of registries.conf with a mirror for each upstream. They send no `ns`, so the
 * upstream's host stands in the mirror's path. A location that is no valid image name would break every pull of that registry,
 * so such upstreams are left out or refused.
 */
import {
  type ClientFile,
  ClientRefusal,
  type ClientSetup,
  loginNote,
  type MirrorForClients,
  quote,
} from './client-setup.ts';

/** Errors: `ClientRefusal` for an IPv6 address. */
export function setUpPodman(mirror: MirrorForClients): ClientSetup {
  return {
    files: registriesFiles(mirror),
    commands: [],
    notes: [
      'podman, buildah and skopeo read it at their next command; no restart is needed.',
      ...describeLeftOut(mirror),
      loginNote,
      'Users with their own ~/.config/containers/registries.conf need it in ~/.config/containers/registries.conf.d.',
    ],
  };
}

/** Errors: as `setUpPodman`. */
export function setUpCrio(mirror: MirrorForClients): ClientSetup {
  const files = registriesFiles(mirror);
  return {
    files,
    commands: files.length === 0 ? [] : ['systemctl restart crio'],
    notes: [
      'Do this on every node. Running containers go on while CRI-O restarts.',
      ...describeLeftOut(mirror),
    ],
  };
}

/** Errors: `ClientRefusal` for an IPv6 address. */
function registriesFiles(mirror: MirrorForClients): ClientFile[] {
  if (mirror.isIpv6)
    throw new ClientRefusal(
      `registries.conf takes no IPv6 address (${mirror.url}): give a name or an IPv4 address with --url http://NAME:PORT`,
    );
  const sections = mirror.upstreams.flatMap(({ key, segment }) =>
    segment === undefined ? [] : [mirrorSection(mirror, key, segment)],
  );
  if (sections.length === 0) return [];
  const path = '/etc/containers/registries.conf.d/cistern.conf';
  return [{ path, content: sections.join('\n'), mode: 'create' }];
}

function describeLeftOut({ upstreams }: MirrorForClients): string[] {
  return upstreams
    .filter(({ segment }) => segment === undefined)
    .map(
      ({ key }) =>
        `${key} is left out: image names have no ports in their path. Add an alias without a port (upstreams.${key}.aliases).`,
    );
}

function mirrorSection({ host, isPlainHttp }: MirrorForClients, key: string, segment: string): string {
  return `[[registry]]
location = ${quote(key)}
[[registry.mirror]]
location = ${quote(`${host}/${segment}`)}
${isPlainHttp ? 'insecure = true\n' : ''}`;
}
