/** BuildKit: buildkitd.toml. A mirror is a host without a scheme; how it is spoken to stands in a section of its own. */
import { type ClientSetup, type MirrorForClients, quote } from './client-setup.ts';

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
      `For a builder in a container instead: docker buildx create --use --driver docker-container --buildkitd-config ${path}`,
      'Such a builder has a network of its own, in which localhost is the builder.',
      'Rootless BuildKit has ~/.config/buildkit/buildkitd.toml.',
    ],
  };
}
