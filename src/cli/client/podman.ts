/**
 * podman, buildah and skopeo: a drop-in of registries.conf with a mirror for each upstream. They send no `ns`, so the upstream's
 * host stands in the mirror's path. A location that is no valid image name would break every pull of that registry, not
 * only those through the mirror: such ones are left out or refused.
 */
import {
  type ClientFile,
  ClientRefusal,
  type ClientSetup,
  type MirrorForClients,
  quote,
} from './client-setup.ts';

export function setUpPodman(mirror: MirrorForClients): ClientSetup {
  return {
    files: registriesFiles(mirror),
    commands: [],
    notes: [
      'podman, buildah and skopeo read it with the next command; nothing is restarted.',
      ...describeLeftOut(mirror),
      'A user with a ~/.config/containers/registries.conf needs it in ~/.config/containers/registries.conf.d instead.',
    ],
  };
}

/** Errors: `ClientRefusal` for an IPv6 address. */
export function registriesFiles(mirror: MirrorForClients): ClientFile[] {
  if (mirror.isIpv6)
    throw new ClientRefusal(
      `expected a name or an IPv4 address, which registries.conf takes in locations, got ${mirror.url}: say --url http://NAME:PORT`,
    );
  const sections = mirror.upstreams.flatMap(({ key, segment }) =>
    segment === undefined ? [] : [mirrorSection(mirror, key, segment)],
  );
  if (sections.length === 0) return [];
  const path = '/etc/containers/registries.conf.d/cistern.conf';
  return [{ path, content: sections.join('\n'), mode: 'create' }];
}

export function describeLeftOut({ upstreams }: MirrorForClients): string[] {
  return upstreams
    .filter(({ segment }) => segment === undefined)
    .map(
      ({ key }) =>
        `${key} is left out: names have no ports in their path. Give it an alias without one (upstreams.${key}.aliases).`,
    );
}

function mirrorSection({ host, isPlainHttp }: MirrorForClients, key: string, segment: string): string {
  return `[[registry]]
location = ${quote(key)}
[[registry.mirror]]
location = ${quote(`${host}/${segment}`)}
${isPlainHttp ? 'insecure = true\n' : ''}`;
}
