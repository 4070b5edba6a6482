/** Names of images: parts, short forms, and the commands of each client. */
import { describe, expect, it } from 'vitest';
import { pullCommands, shortName, splitImage } from '../../../../src/ui/text/image-name.ts';
import { mirrorAt } from '../../clients/client-rig.ts';

const digest = `sha256:${'a'.repeat(64)}`;

it.each([
  ['docker.io/library/alpine:3.20', 'docker.io', 'library/alpine', ':3.20', 'alpine:3.20'],
  [
    `docker.io/grafana/grafana@${digest}`,
    'docker.io',
    'grafana/grafana',
    `@${digest}`,
    `grafana/grafana@${digest}`,
  ],
  ['r.lan:5000/a/b:1', 'r.lan:5000', 'a/b', ':1', 'r.lan:5000/a/b:1'],
  ['r.lan:5000/a', 'r.lan:5000', 'a', '', 'r.lan:5000/a'],
  ['localhost/a:1', 'localhost', 'a', ':1', 'localhost/a:1'],
  ['team/app:1', undefined, 'team/app', ':1', 'team/app:1'],
  ['app', undefined, 'app', '', 'app'],
])('%s', (image, host, path, reference, short) => {
  expect(splitImage(image)).toEqual({ host, path, reference });
  expect(shortName(image)).toBe(short);
});

describe('commands', () => {
  it('name the image by itself for clients that are set up, and by the mirror for all', async () => {
    const mirror = await mirrorAt('http://mirror.lan:5000');
    const { bySettings, byName } = pullCommands('docker.io/library/alpine:3.20', mirror);
    expect(bySettings.map(({ command }) => command)).toEqual([
      'docker pull alpine:3.20',
      'podman pull docker.io/library/alpine:3.20',
      'crictl pull docker.io/library/alpine:3.20',
      'image: docker.io/library/alpine:3.20',
    ]);
    const name = 'mirror.lan:5000/docker.io/library/alpine:3.20';
    expect(byName.map(({ command }) => command)).toEqual([
      `docker pull ${name}`,
      `podman pull --tls-verify=false ${name}`,
      `nerdctl pull --insecure-registry ${name}`,
      `ctr images pull --plain-http ${name}`,
      `skopeo copy --src-tls-verify=false docker://${name} oci:image`,
      `crane pull --insecure ${name} image.tar`,
    ]);
  });

  it('have no flags with https, and only the name of the mirror for what is hosted', async () => {
    const mirror = await mirrorAt('https://mirror.lan');
    const { bySettings, byName } = pullCommands('team/app:1', mirror);
    expect(bySettings).toEqual([]);
    expect(byName.map(({ command }) => command)).toContain('podman pull mirror.lan/team/app:1');
    expect(byName.filter(({ command }) => /--/.test(command))).toEqual([]);
  });

  it("leave dockerd's plain names out where they mean another registry, and ports where no path can have them", async () => {
    const configuration = 'upstreams: { "r.lan:5000": , ghcr.io: }\ndefault_upstream: ghcr.io';
    const mirror = await mirrorAt('http://mirror.lan:5000', configuration);
    expect(pullCommands('ghcr.io/a/b:1', mirror).bySettings.map(({ client }) => client)).not.toContain(
      'Docker',
    );
    expect(pullCommands('r.lan:5000/a/b:1', mirror).byName).toEqual([]);
  });
});
