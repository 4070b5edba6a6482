/**
 * `cistern client NAME`: the files that make this kind of client pull through the mirror as it is configured, for all its
 * upstreams; printed, or with `--write` written. It doesn't use the network.
 */
import { networkInterfaces } from 'node:os';
import { resolve } from 'node:path';
import {
  ClientRefusal,
  type ClientSetup,
  clientNames,
  type MirrorForClients,
} from '../../clients/client-setup.ts';
import { setUpClient } from '../../clients/clients.ts';
import { describeForClients } from '../../clients/mirror-description.ts';
import { type LoadOptions, loadConfig } from '../../config/load.ts';
import { ConfigError } from '../../config/problem.ts';
import { formatSuggestion } from '../../config/suggestion.ts';
import { formatSetup, formatSetupJson, formatWritten, writeClientFiles } from './client-files.ts';
import { findMirrorUrl, type NetworkInterfaces } from './mirror-url.ts';

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
  const { config, warnings } = await loadConfig(options);
  for (const warning of warnings) options.writeError(`${warning}\n`);
  const { url, isGuess } = findMirrorUrl({ given, http: config.http, interfaces });
  const mirror = describeForClients(config, url);
  const setup = setUpClient(name, mirror, forAll);
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
