/**
 * dockerd: `registry-mirrors` of daemon.json, which it uses for Docker Hub only and asks by plain names, so the mirror's default
 * upstream has to be docker.io. All other images are pulled by the mirror's own name.
 */
import { HUB } from '../../oci/name.ts';
import { type ClientFile, type ClientSetup, type MirrorForClients, quote } from './client-setup.ts';

export function setUpDocker(mirror: MirrorForClients): ClientSetup {
  const mirrorsHub = mirror.defaultUpstream === HUB;
  const files = settingsFiles(mirror, mirrorsHub);
  return {
    files,
    commands: files.length === 0 ? [] : ['systemctl restart docker'],
    notes: [
      mirrorsHub
        ? 'dockerd has mirrors for Docker Hub only; other images are pulled by the name of the mirror.'
        : `dockerd asks its mirrors by plain names, which here mean ${mirror.defaultUpstream} and not Docker Hub.`,
      ...describeOthers(mirror, mirrorsHub),
      'docker build with the builder of dockerd follows the same settings; a builder of its own needs: cistern client buildkit',
      'Rootless Docker has ~/.config/docker/daemon.json and: systemctl --user restart docker',
    ],
  };
}

function settingsFiles(mirror: MirrorForClients, mirrorsHub: boolean): ClientFile[] {
  const settings: string[] = [];
  if (mirrorsHub) settings.push(`  "registry-mirrors": [${quote(mirror.url)}]`);
  if (!isTrustedUnasked(mirror)) settings.push(`  "insecure-registries": [${quote(mirror.host)}]`);
  if (settings.length === 0) return [];
  const content = `{\n${settings.join(',\n')}\n}\n`;
  return [{ path: '/etc/docker/daemon.json', content, mode: 'merge' }];
}

/** dockerd speaks plain http to 127.0.0.0/8 unasked. */
function isTrustedUnasked({ host, isPlainHttp }: MirrorForClients): boolean {
  return !isPlainHttp || /^(?:127\.|localhost:)/.test(host);
}

function describeOthers({ host, isIpv6, upstreams }: MirrorForClients, mirrorsHub: boolean): string[] {
  const others = upstreams.filter(({ key }) => !mirrorsHub || key !== HUB);
  const byName = others.map(({ key, segment }) =>
    segment === undefined
      ? `${key}: image names have no ports in their path; give it an alias without one (upstreams.${key}.aliases).`
      : `${key}: docker pull ${host}/${segment}/OWNER/IMAGE:TAG`,
  );
  const caution =
    'Older versions of Docker take no IPv6 address in image names; a name (--url http://NAME:PORT) works with all.';
  return isIpv6 && others.length > 0 ? [...byName, caution] : byName;
}
