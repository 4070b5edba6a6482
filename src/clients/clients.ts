/** Which function sets up which client. */
import { setUpApptainer, setUpCosign, setUpCrane, setUpHelm, setUpOras, setUpSkopeo } from './by-name.ts';
import { setUpGithubRunner, setUpGitlabRunner } from './ci-runners.ts';
import { type ClientName, ClientRefusal, type ClientSetup, type MirrorForClients } from './client-setup.ts';
import {
  setUpContainerd,
  setUpK3s,
  setUpKind,
  setUpNerdctl,
  setUpTalos,
} from './containerd-k3s-kind-talos.ts';
import { setUpBuildkit, setUpDocker } from './docker-buildkit.ts';
import { setUpCrio, setUpPodman } from './podman-crio.ts';

type SetUp = (mirror: MirrorForClients, forAll: boolean) => ClientSetup;

/** `takesAll`: it has an entry for all registries, and tells the mirror which one is meant. */
const clients: Readonly<Record<ClientName, { readonly setUp: SetUp; readonly takesAll: boolean }>> = {
  docker: { setUp: setUpDocker, takesAll: false },
  containerd: { setUp: setUpContainerd, takesAll: true },
  podman: { setUp: setUpPodman, takesAll: false },
  k3s: { setUp: setUpK3s, takesAll: true },
  kind: { setUp: setUpKind, takesAll: true },
  crio: { setUp: setUpCrio, takesAll: false },
  buildkit: { setUp: setUpBuildkit, takesAll: false },
  nerdctl: { setUp: setUpNerdctl, takesAll: true },
  talos: { setUp: setUpTalos, takesAll: true },
  skopeo: { setUp: setUpSkopeo, takesAll: false },
  crane: { setUp: setUpCrane, takesAll: false },
  helm: { setUp: setUpHelm, takesAll: false },
  oras: { setUp: setUpOras, takesAll: false },
  cosign: { setUp: setUpCosign, takesAll: false },
  apptainer: { setUp: setUpApptainer, takesAll: false },
  'gitlab-runner': { setUp: setUpGitlabRunner, takesAll: false },
  'github-runner': { setUp: setUpGithubRunner, takesAll: false },
};

/**
 * `forAll`: one entry for all registries, also those that the mirror doesn't know.
 * Errors: `ClientRefusal` for a client that has no such entry, or can't use this mirror's address.
 */
export function setUpClient(name: ClientName, mirror: MirrorForClients, forAll = false): ClientSetup {
  const { setUp, takesAll } = clients[name];
  if (forAll && !takesAll) throw new ClientRefusal(`--default: ${name} has no entry for all registries`);
  return setUp(mirror, forAll);
}
