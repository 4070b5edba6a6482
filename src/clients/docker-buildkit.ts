/**
 * dockerd: `registry-mirrors` of daemon.json, which it uses for Docker Hub only and asks by plain names; all other images are
 * pulled by the mirror's own name. BuildKit: buildkitd.toml, with mirrors for every registry.
 */
import {
  type ClientFile,
  type ClientSetup,
  loginNote,
  type MirrorForClients,
  quote,
} from './client-setup.ts';

/** Registers the mirror only if its default upstream is docker.io, which plain names mean. */
export function setUpDocker(mirror: MirrorForClients): ClientSetup {
  const mirrorsHub = mirror.upstreams.some(({ key, isHub }) => isHub && key === mirror.defaultUpstream);
  const files = settingsFiles(mirror, mirrorsHub);
  return {
    files,
    commands: files.length === 0 ? [] : ['systemctl restart docker'],
    notes: [
      mirrorsHub
        ? 'dockerd uses mirrors for Docker Hub only; pull other images by the name of the mirror.'
        : `dockerd asks its mirrors by plain names, which mean ${mirror.defaultUpstream ?? 'hosted repositories'} here and not Docker Hub.`,
      ...describeOthers(mirror, mirrorsHub),
      'docker build with the builder of dockerd uses the same settings; any other builder needs: cistern client buildkit',
      loginNote,
      'A restart of Docker stops its containers, unless live-restore is on. To undo, take the lines out again and restart.',
      'Rootless Docker reads ~/.config/docker/daemon.json; restart it with: systemctl --user restart docker',
    ],
  };
}

/** A mirror is a host without a scheme; a section of its own says that it speaks http. */
export function setUpBuildkit(mirror: MirrorForClients): ClientSetup {
  const sections = mirror.upstreams.map(
    ({ key }) => `[registry.${quote(key)}]\n  mirrors = [${quote(mirror.host)}]\n`,
  );
  if (mirror.isPlainHttp) sections.push(`[registry.${quote(mirror.host)}]\n  http = true\n`);
  const path = '/etc/buildkit/buildkitd.toml';
  return {
    files: [{ path, content: sections.join('\n'), mode: 'merge' }],
    commands: ['systemctl restart buildkit'],
    notes: [
      `For a builder in a container: docker buildx create --use --driver docker-container --buildkitd-config ${path}`,
      'Such a builder has its own network, in which localhost is the builder.',
      'Rootless BuildKit reads ~/.config/buildkit/buildkitd.toml.',
    ],
  };
}

function settingsFiles(mirror: MirrorForClients, mirrorsHub: boolean): ClientFile[] {
  const settings: string[] = [];
  if (mirrorsHub) settings.push(`  "registry-mirrors": [${quote(mirror.url)}]`);
  if (!isTrustedByDefault(mirror)) settings.push(`  "insecure-registries": [${quote(mirror.host)}]`);
  if (settings.length === 0) return [];
  const content = `{\n${settings.join(',\n')}\n}\n`;
  return [{ path: '/etc/docker/daemon.json', content, mode: 'merge' }];
}

/** dockerd speaks plain http to 127.0.0.0/8 without being told. */
function isTrustedByDefault({ host, isPlainHttp }: MirrorForClients): boolean {
  return !isPlainHttp || /^(?:127\.|localhost:)/.test(host);
}

function describeOthers({ host, isIpv6, upstreams }: MirrorForClients, mirrorsHub: boolean): string[] {
  const others = upstreams.filter(({ isHub }) => !mirrorsHub || !isHub);
  const byName = others.map(({ key, segment }) =>
    segment === undefined
      ? `${key}: image names have no ports in their path; add an alias without a port (upstreams.${key}.aliases).`
      : `${key}: docker pull ${host}/${segment}/OWNER/IMAGE:TAG`,
  );
  const caution =
    'Older versions of Docker refuse IPv6 addresses in image names; a host name works with all (--url http://NAME:PORT).';
  return isIpv6 && others.length > 0 ? [...byName, caution] : byName;
}
