/** What docker and buildkit are given: exact for one small configuration, and what changes with the address. */
import { describe, expect, it } from 'vitest';
import { setUpBuildkit, setUpDocker } from '../../../src/clients/docker-buildkit.ts';
import { contentOf, mirrorAt } from './client-rig.ts';

const plain = 'http://mirror.lan:5000';
/** A host that images can't name in their path, once without another name and once with one. */
const withPorts =
  'upstreams: { docker.io: , "r.lan:5001": { url: "http://r.lan:5001" }, "s.lan:5002": { aliases: ["s:1", s.alias] } }';
const daemonJson = '/etc/docker/daemon.json';

describe('docker', () => {
  it('gets the mirror for Docker Hub, and leave to speak http with it', async () => {
    const { files, commands, notes } = setUpDocker(await mirrorAt(plain));
    const content = `{
  "registry-mirrors": ["http://mirror.lan:5000"],
  "insecure-registries": ["mirror.lan:5000"]
}
`;
    expect(files).toEqual([{ path: daemonJson, content, mode: 'merge' }]);
    expect(commands).toEqual(['systemctl restart docker']);
    expect(notes).toContain('ghcr.io: docker pull mirror.lan:5000/ghcr.io/OWNER/IMAGE:TAG');
    expect(notes.join('\n')).not.toContain('docker.io: docker pull');
  });

  it.each([
    ['https://mirror.lan', { 'registry-mirrors': ['https://mirror.lan'] }],
    ['http://127.0.0.1:5000', { 'registry-mirrors': ['http://127.0.0.1:5000'] }],
    ['http://localhost:5000', { 'registry-mirrors': ['http://localhost:5000'] }],
    [
      'http://mirror.lan',
      { 'registry-mirrors': ['http://mirror.lan'], 'insecure-registries': ['mirror.lan:80'] },
    ],
    [
      'http://[fd00::1]:5000',
      { 'registry-mirrors': ['http://[fd00::1]:5000'], 'insecure-registries': ['[fd00::1]:5000'] },
    ],
  ])('at %s', async (url, settings) => {
    expect(JSON.parse(contentOf(setUpDocker(await mirrorAt(url)), daemonJson))).toEqual(settings);
  });

  it('asks for nothing by plain names when those mean another upstream', async () => {
    const mirror = await mirrorAt(plain, 'upstreams: { quay.io: , docker.io: }\ndefault_upstream: quay.io');
    const setup = setUpDocker(mirror);
    expect(contentOf(setup, daemonJson)).toBe('{\n  "insecure-registries": ["mirror.lan:5000"]\n}\n');
    expect(setup.notes).toContain('docker.io: docker pull mirror.lan:5000/docker.io/OWNER/IMAGE:TAG');
    expect(setUpDocker({ ...mirror, isPlainHttp: false })).toMatchObject({ files: [], commands: [] });
  });

  it('names an upstream with a port by an alias without one, or not at all', async () => {
    const notes = setUpDocker(await mirrorAt('https://m', withPorts)).notes.join('\n');
    expect(notes).toContain('s.lan:5002: docker pull m:443/s.alias/OWNER/IMAGE:TAG');
    expect(notes).toContain('r.lan:5001: image names have no ports in their path');
    expect(notes).not.toContain('m:443/r.lan');
  });
});

describe('buildkit', () => {
  it('gets a mirror for each upstream, and that it speaks http', async () => {
    const { files, commands } = setUpBuildkit(await mirrorAt(plain));
    const content = `[registry."docker.io"]
  mirrors = ["mirror.lan:5000"]

[registry."ghcr.io"]
  mirrors = ["mirror.lan:5000"]

[registry."mirror.lan:5000"]
  http = true
`;
    expect(files).toEqual([{ path: '/etc/buildkit/buildkitd.toml', content, mode: 'merge' }]);
    expect(commands).toEqual(['systemctl restart buildkit']);
  });

  it('gets no more than the host for https', async () => {
    const [file] = setUpBuildkit(await mirrorAt('https://mirror.lan', 'upstreams: { quay.io: }')).files;
    expect(file?.content).toBe('[registry."quay.io"]\n  mirrors = ["mirror.lan"]\n');
  });
});
