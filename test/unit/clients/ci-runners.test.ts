/** What runners of continuous integration are given. */
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { setUpGithubRunner, setUpGitlabRunner } from '../../../src/clients/ci-runners.ts';
import { contentOf, mirrorAt } from './client-rig.ts';

it("gives GitLab's docker:dind services the mirror by the command line of dockerd", async () => {
  const setup = setUpGitlabRunner(await mirrorAt('http://mirror.lan:5000'));
  expect(contentOf(setup, '/etc/gitlab-runner/config.toml')).toBe(`[[runners]]
  [runners.docker]
    [[runners.docker.services]]
      name = "docker:dind"
      alias = "docker"
      command = ["--registry-mirror", "http://mirror.lan:5000", "--insecure-registry", "mirror.lan:5000"]
`);
  expect(setup.notes).toContain('ghcr.io: docker pull mirror.lan:5000/ghcr.io/OWNER/IMAGE:TAG');
});

it("gives GitHub's runners daemon.json in a ConfigMap, and mounts it", async () => {
  const setup = setUpGithubRunner(await mirrorAt('http://mirror.lan:5000'));
  const configMap = parse(contentOf(setup, 'cistern-daemon.yaml'));
  expect(JSON.parse(configMap.data['daemon.json'])).toEqual({
    'registry-mirrors': ['http://mirror.lan:5000'],
    'insecure-registries': ['mirror.lan:5000'],
  });
  const { volumes, containers } = parse(contentOf(setup, 'values.yaml')).template.spec;
  expect(volumes[0].configMap.name).toBe(configMap.metadata.name);
  expect(containers[0].volumeMounts[0].name).toBe(volumes[0].name);
});

it('has no file where dockerd needs no settings', async () => {
  const mirror = await mirrorAt('https://mirror.lan', 'upstreams: { ghcr.io: }\ndefault_upstream: ghcr.io');
  expect(setUpGitlabRunner(mirror).files).toEqual([]);
  expect(setUpGithubRunner(mirror).files).toEqual([]);
});
