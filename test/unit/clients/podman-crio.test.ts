/** What podman and crio are given: exact for one small configuration, and what changes with the address. */
import { describe, expect, it } from 'vitest';
import { ClientRefusal } from '../../../src/clients/client-setup.ts';
import { setUpCrio, setUpPodman } from '../../../src/clients/podman-crio.ts';
import { contentOf, mirrorAt } from './client-rig.ts';

const plain = 'http://mirror.lan:5000';
/** A host that images can't name in their path, once without another name and once with one. */
const withPorts =
  'upstreams: { docker.io: , "r.lan:5001": { url: "http://r.lan:5001" }, "s.lan:5002": { aliases: ["s:1", s.alias] } }';
const podmanConf = '/etc/containers/registries.conf.d/cistern.conf';

describe.each([
  ['podman', setUpPodman, []],
  ['crio', setUpCrio, ['systemctl restart crio']],
] as const)('%s', (_name, setUp, restart) => {
  it('gets a mirror for each upstream, with its host in the path', async () => {
    const { files, commands } = setUp(await mirrorAt(plain));
    const content = `[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "mirror.lan:5000/docker.io"
insecure = true

[[registry]]
location = "ghcr.io"
[[registry.mirror]]
location = "mirror.lan:5000/ghcr.io"
insecure = true
`;
    expect(files).toEqual([{ path: podmanConf, content, mode: 'create' }]);
    expect(commands).toEqual(restart);
  });

  it.each([
    ['https://mirror.lan', 'mirror.lan/docker.io'],
    ['https://mirror', 'mirror:443/docker.io'],
    ['https://mirror.lan:8443', 'mirror.lan:8443/docker.io'],
  ])('is not made to trust %s', async (url, location) => {
    const content = contentOf(setUp(await mirrorAt(url, 'upstreams: { docker.io: }')), podmanConf);
    expect(content).toBe(
      `[[registry]]\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "${location}"\n`,
    );
  });

  it('gets no location that is no image name, which would break every pull of that registry', async () => {
    const setup = setUp(await mirrorAt(plain, withPorts));
    const content = contentOf(setup, podmanConf);
    expect(content.match(/^location = .*$/gm)).toEqual([
      'location = "docker.io"',
      'location = "mirror.lan:5000/docker.io"',
      'location = "s.lan:5002"',
      'location = "mirror.lan:5000/s.alias"',
    ]);
    expect(setup.notes.join('\n')).toContain('r.lan:5001 is left out');
    const ports = await mirrorAt(plain, 'upstreams: { "r.lan:5001": }');
    expect(setUp(ports)).toMatchObject({ files: [], commands: [] });
    const ipv6 = await mirrorAt('http://[fd00::1]:5000');
    expect(() => setUp(ipv6)).toThrow(ClientRefusal);
  });
});
