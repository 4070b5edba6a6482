/**
 * `cistern client NAME`: the files that make this kind of client pull through the mirror as it is configured, for all its
 * upstreams; printed, or with `--write` written. It doesn't use the network.
 */
import { networkInterfaces } from 'node:os';
import { resolve } from 'node:path';
import { type LoadOptions, loadConfig } from '../../config/load.ts';
import { ConfigError } from '../../config/problem.ts';
import { formatSuggestion } from '../../config/suggestion.ts';
import { setUpApptainer, setUpCosign, setUpCrane, setUpHelm, setUpOras, setUpSkopeo } from './by-name.ts';
import { formatSetup, formatSetupJson, formatWritten, writeClientFiles } from './client-files.ts';
import {
  type ClientName,
  ClientRefusal,
  type ClientSetup,
  clientNames,
  type MirrorForClients,
} from './client-setup.ts';
import {
  setUpContainerd,
  setUpK3s,
  setUpKind,
  setUpNerdctl,
  setUpTalos,
} from './containerd-k3s-kind-talos.ts';
import { setUpBuildkit, setUpDocker } from './docker-buildkit.ts';
import { describeForClients, findMirrorUrl, type NetworkInterfaces } from './mirror-url.ts';
import { setUpCrio, setUpPodman } from './podman-crio.ts';

export interface ClientOptions extends LoadOptions {
  /** One of `clientNames`. */
  readonly client: string;
  /** `--url`. */
  readonly url?: string;
  /** `--default`: one entry for all registries, also those that the mirror doesn't know. */
  readonly forAll?: boolean;
  readonly json?: boolean;
  /** `--write`: the folder that stands for `/`. */
  readonly writeTo?: string;
  readonly write: (text: string) => void;
  readonly writeError: (text: string) => void;
  /** Left out: those of this machine. */
  readonly interfaces?: () => NetworkInterfaces;
}

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
};

/** Resolves with the exit code: 0 done, 1 a file was refused, 2 not possible as asked. */
export async function runClient(options: ClientOptions): Promise<number> {
  const { client, json, writeTo, cwd, write, writeError } = options;
  try {
    const { mirror, setup } = await makeSetup(options);
    if (writeTo === undefined) {
      write(json ? formatSetupJson(client, setup) : formatSetup(client, mirror.url, setup));
      return 0;
    }
    const written = await writeClientFiles(resolve(cwd, writeTo), setup.files);
    write(json ? formatSetupJson(client, setup, written) : formatWritten(written, setup));
    return written.some(({ outcome }) => outcome === 'refused') ? 1 : 0;
  } catch (error) {
    if (!(error instanceof ConfigError || error instanceof ClientRefusal)) throw error;
    writeError(`${error.message}\n`);
    return 2;
  }
}

/** Errors: `ConfigError`, `ClientRefusal`. */
async function makeSetup(options: ClientOptions): Promise<{ mirror: MirrorForClients; setup: ClientSetup }> {
  const { client, forAll = false, url: given, interfaces = networkInterfaces } = options;
  const name = clientNames.find(known => known === client);
  if (name === undefined)
    throw new ClientRefusal(
      `expected one of ${clientNames.join(', ')}, got ${client}${formatSuggestion(client, clientNames)}`,
    );
  const kind = clients[name];
  if (forAll && !kind.takesAll)
    throw new ClientRefusal(`--default: ${client} has no entry for all registries`);
  const { config, warnings } = await loadConfig(options);
  for (const warning of warnings) options.writeError(`${warning}\n`);
  const { url, isGuess } = findMirrorUrl({ given, http: config.http, interfaces });
  const mirror = describeForClients(config, url);
  const setup = kind.setUp(mirror, forAll);
  return { mirror, setup: { ...setup, notes: [...describeUrl(mirror, isGuess), ...setup.notes] } };
}

function describeUrl({ url, isLoopback }: MirrorForClients, isGuess: boolean): string[] {
  return [
    ...(isGuess
      ? [
          `${url} is a guess from this machine's addresses; set another one with --url http://NAME:PORT or http.public_url.`,
        ]
      : []),
    ...(isLoopback ? [`Only clients on this machine reach ${url}.`] : []),
  ];
}
