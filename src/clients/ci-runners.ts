/**
 * Runners of continuous integration: GitLab's with its docker executor, and GitHub's runner controller. Both start a Docker daemon
 * of their own for jobs that build images, which the host's daemon.json does not reach: it is given the mirror by its command
 * line, or by a file.
 */
import {
  type ClientFile,
  type ClientSetup,
  loginNote,
  type MirrorForClients,
  quote,
} from './client-setup.ts';
import { setUpDocker } from './docker-buildkit.ts';

const kubernetesNote = 'Where the nodes of a cluster pull the images of jobs: cistern client containerd';

/** GitLab runner, docker executor: `docker:dind` services. */
export function setUpGitlabRunner(mirror: MirrorForClients): ClientSetup {
  const { notes } = setUpDocker(mirror);
  const options = daemonOptions(mirror);
  const content = `[[runners]]
  [runners.docker]
    [[runners.docker.services]]
      name = "docker:dind"
      alias = "docker"
      command = [${options.map(quote).join(', ')}]
`;
  const files: ClientFile[] =
    options.length === 0 ? [] : [{ path: '/etc/gitlab-runner/config.toml', content, mode: 'merge' }];
  return {
    files,
    commands: [],
    notes: [
      'The runner reads its config.toml again by itself.',
      'The images of the jobs themselves are pulled by the Docker daemon of the host: cistern client docker',
      kubernetesNote,
      ...notes.filter(note => note !== loginNote && !/^(?:docker build|Rootless)/.test(note)),
    ],
  };
}

/** GitHub's actions-runner-controller with `containerMode: dind`: the daemon reads its daemon.json from a ConfigMap. */
export function setUpGithubRunner(mirror: MirrorForClients): ClientSetup {
  const daemonJson = setUpDocker(mirror).files[0]?.content;
  if (daemonJson === undefined)
    return {
      files: [],
      commands: [],
      notes: ['A Docker daemon needs no settings for this mirror.', kubernetesNote],
    };
  const configMap = `apiVersion: v1
kind: ConfigMap
metadata:
  name: cistern-daemon
data:
  daemon.json: |
${daemonJson.trimEnd().replaceAll(/^/gm, '    ')}
`;
  const values = `template:
  spec:
    volumes:
      - name: cistern-daemon
        configMap:
          name: cistern-daemon
    containers:
      - name: dind
        volumeMounts:
          - name: cistern-daemon
            mountPath: /etc/docker/daemon.json
            subPath: daemon.json
`;
  return {
    files: [
      { path: 'cistern-daemon.yaml', content: configMap, mode: 'create' },
      { path: 'values.yaml', content: values, mode: 'merge' },
    ],
    commands: ['kubectl apply --namespace RUNNERS -f cistern-daemon.yaml'],
    notes: [
      'RUNNERS stands for the namespace of the runners; values.yaml is for the chart of the runner scale set.',
      'A runner on a machine of its own uses the Docker daemon of that machine: cistern client docker',
      kubernetesNote,
    ],
  };
}

/** What dockerd is told on its command line instead of in daemon.json. */
function daemonOptions(mirror: MirrorForClients): string[] {
  const [file] = setUpDocker(mirror).files;
  const settings: unknown = file === undefined ? {} : JSON.parse(file.content);
  if (typeof settings !== 'object' || settings === null) return [];
  return Object.entries(settings).flatMap(([key, values]) =>
    // daemon.json has plurals where the command line has one option for each.
    Array.isArray(values)
      ? values.flatMap(value => [`--${key.replace(/ies$/, 'y').replace(/s$/, '')}`, String(value)])
      : [],
  );
}
