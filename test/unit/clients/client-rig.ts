/** A mirror as clients know it, from the text of a configuration: read and described as the command does it. */
import { expect } from 'vitest';
import { type ClientOptions, runClient } from '../../../src/cli/client/client.ts';
import type { ClientFile, ClientSetup, MirrorForClients } from '../../../src/clients/client-setup.ts';
import { describeForClients } from '../../../src/clients/mirror-description.ts';
import { ConfigFolder } from '../config/config-folder.ts';

export const twoUpstreams = 'upstreams: { docker.io: , ghcr.io: }';

export async function mirrorAt(url: string, configuration = twoUpstreams): Promise<MirrorForClients> {
  const folder = await ConfigFolder.create();
  try {
    const { config } = await folder.load(configuration);
    return describeForClients(config, new URL(url));
  } finally {
    await folder.remove();
  }
}

/** The content of the only file with this path. */
export function contentOf({ files }: Pick<ClientSetup, 'files'>, path: string): string {
  const found = files.filter((file: ClientFile) => file.path === path);
  expect(found, path).toHaveLength(1);
  return found[0]?.content ?? '';
}

/** Runs the command in a folder with nothing of the real environment and no network interfaces but the given ones. */
export async function runIn(
  folder: ConfigFolder,
  options: Pick<ClientOptions, 'client'> & Partial<ClientOptions>,
): Promise<{ code: number; output: string; errors: string }> {
  const output: string[] = [];
  const errors: string[] = [];
  const code = await runClient({
    env: {},
    cwd: folder.path,
    interfaces: () => ({}),
    write: text => void output.push(text),
    writeError: text => void errors.push(text),
    ...options,
  });
  return { code, output: output.join(''), errors: errors.join('') };
}
