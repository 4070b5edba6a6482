/** Images at an upstream, and pulls of them through a mirror, for the tests of the command line. */
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { expect } from 'vitest';
import { get } from '../support/client.ts';
import type { BuiltImage } from '../support/images.ts';
import { filesUnder } from '../support/temp-dir.ts';

/** `library/app`, or `library/app@REFERENCE`, with its blobs; resolves when all of it has its place on disk. */
export async function pull(
  { url, storePath }: { readonly url: string; readonly storePath: string },
  path: string,
  image: BuiltImage,
): Promise<void> {
  const [name, reference = 'latest'] = path.split('@');
  expect((await get(url, `/v2/${name}/manifests/${reference}`)).status).toBe(200);
  for (const { descriptor } of image.blobs) {
    const blob = await get(url, `/v2/${name}/blobs/${descriptor.digest}`, { keep: false });
    expect(blob.sha256).toBe(descriptor.digest);
    await expect.poll(() => isOnDisk(storePath, descriptor.digest)).toBe(true);
  }
}

export async function isOnDisk(storePath: string, digest: string): Promise<boolean> {
  const [algorithm = '', hex = ''] = digest.split(':');
  const names: string[] = await readdir(join(storePath, 'blobs-v1', algorithm, hex.slice(0, 2))).catch(
    () => [],
  );
  return names.includes(hex);
}

export function bytesOf(image: BuiltImage): number {
  const parts = [...image.blobs, ...image.manifests].map(({ descriptor }) => descriptor);
  return [...new Map(parts.map(part => [part.digest, part.size])).values()].reduce(
    (sum, size) => sum + size,
    0,
  );
}

/** Digests of configs and layers. */
export function blobsOf(image: BuiltImage): string[] {
  return image.blobs.map(({ descriptor }) => descriptor.digest);
}

/** What the records of repositories, and the lists beside them, take on the disk: they count in `store.max_size`. */
export async function recordBytes(storePath: string): Promise<number> {
  const folder = join(storePath, 'records-v1');
  const files = (await filesUnder(folder)).filter(name => !basename(name).startsWith('.'));
  const sizes = await Promise.all(files.map(async name => (await stat(join(folder, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}
