/**
 * Layers out of Debian's own packages: what `dpkg-deb -x` gives of some .deb files, as one tar whose bytes depend on
 * nothing but those files (sorted names, no times, no owners), packed with gzip or zstd. Only apt is asked for anything.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { type Digest, hexOf, parseDigest } from '../../../src/oci/digest.ts';
import { commandOutput } from './command.ts';

export interface LayerRecipe {
  readonly packages: readonly string[];
  /** Shell script with the unpacked folder as its working folder: takes away or adds files. */
  readonly script?: string;
}

export interface PackedLayer {
  readonly digest: Digest;
  readonly size: number;
  /** Digest of the tar, as `rootfs.diff_ids` wants it. */
  readonly diffId: Digest;
}

/** Downloads into `folder` what isn't there yet: package name -> path of its .deb. */
export async function fetchPackages(
  names: readonly string[],
  folder: string,
): Promise<ReadonlyMap<string, string>> {
  await mkdir(folder, { recursive: true });
  const present = async () =>
    new Map((await readdir(folder)).map(file => [file.split('_')[0], join(folder, file)]));
  const held = await present();
  const missing = names.filter(name => !held.has(name));
  if (missing.length > 0) {
    await commandOutput(['apt-get', '-q', '-o', 'APT::Sandbox::User=root', 'download', ...missing], {
      cwd: folder,
      timeoutMs: 600_000,
    });
  }
  const all = await present();
  return new Map(
    names.map(name => {
      const path = all.get(name);
      if (path === undefined)
        throw new Error(`expected a .deb of ${name} in ${folder} after apt-get download`);
      return [name, path];
    }),
  );
}

/** Writes the tar of a recipe to `path`; gives its digest. `scratch` must not exist and is taken away again. */
export async function writeTar(
  recipe: LayerRecipe,
  debs: ReadonlyMap<string, string>,
  path: string,
  scratch: string,
): Promise<Digest> {
  await mkdir(scratch, { recursive: true });
  try {
    for (const name of recipe.packages)
      await commandOutput(['dpkg-deb', '-x', debs.get(name) ?? '', scratch]);
    if (recipe.script !== undefined) await commandOutput(['sh', '-ec', recipe.script], { cwd: scratch });
    const fixed = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '--format=gnu'];
    await commandOutput(['tar', ...fixed, '-C', scratch, '-cf', path, '.']);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return await digestOfFile(path);
}

/** Packs a tar into `blobs` under its digest. */
export async function packLayer(
  tarPath: string,
  diffId: Digest,
  compression: 'gzip' | 'zstd',
  blobs: string,
): Promise<PackedLayer> {
  const packed = `${tarPath}.${compression}`;
  if (compression === 'gzip') {
    await pipeline(createReadStream(tarPath), createGzip({ level: 6 }), createWriteStream(packed));
  } else {
    await commandOutput(['zstd', '-q', '-f', '-3', '--no-check', tarPath, '-o', packed]);
  }
  const digest = await digestOfFile(packed);
  const { size } = await stat(packed);
  await rename(packed, join(blobs, hexOf(digest)));
  return { digest, size, diffId };
}

export async function digestOfFile(path: string): Promise<Digest> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return parseDigest(`sha256:${hash.digest('hex')}`);
}
