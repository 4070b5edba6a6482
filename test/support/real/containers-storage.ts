/**
 * The storage and the settings that podman and buildah share: folders of their own, and a registries.conf with the mirror for
 * docker.io, in the form that names the upstream in the path, and as a registry of its own name over plain HTTP.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ClientOptions, canOverlay, prepareFolder } from './client.ts';

export interface ContainersStorage {
  /** Flags of every command. */
  readonly flags: readonly string[];
  /** Path of registries.conf. */
  readonly registries: string;
  /** Path of a policy that accepts any image. */
  readonly policy: string;
}

export async function prepareStorage(options: ClientOptions): Promise<ContainersStorage> {
  await prepareFolder(options);
  const { folder, place, mirror } = options;
  const registries = join(folder, 'registries.conf');
  const { host } = new URL(mirror);
  await writeFile(
    registries,
    `[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "${host}/docker.io"
insecure = true
[[registry]]
location = "${host}"
insecure = true
`,
  );
  const policy = join(folder, 'policy.json');
  await writeFile(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
  await mkdir(join(folder, 'root'), { recursive: true });
  const folders = ['--root', join(folder, 'root'), '--runroot', join(folder, 'run')];
  const driver = ['--storage-driver', (await canOverlay(place, folder)) ? 'overlay' : 'vfs'];
  return { flags: [...folders, ...driver], registries, policy };
}
