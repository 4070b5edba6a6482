/**
 * The storage folder of a distribution registry (registry:2, docker-registry, distribution 3), read as it lies on the disk: which
 * repositories there are, their tags and manifests by their `link` files, and the blobs. Nothing is written to it.
 */
import { constants, type Dirent } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join, relative, resolve, sep } from 'node:path';
import { algorithmOf, type Digest, digestOf, hexOf, isDigest } from '../../oci/digest.ts';
import { maxManifestBytes } from '../../oci/manifest.ts';
import { isTag, type Tag } from '../../oci/name.ts';
import { isOdd, openRegular, readRegular } from '../disk-files.ts';
import { ignoreMissing, StoreError } from '../store-error.ts';

export interface SourceTag {
  readonly tag: Tag;
  readonly digest: Digest;
  /** When it was moved there: milliseconds since the epoch. */
  readonly movedMs: number;
}

/**
 * Below what `rootdirectory` names, and the folder itself. In each of them:
 *
 *     repositories/NAME…/_manifests/revisions/sha256/HEX/link
 *     repositories/NAME…/_manifests/tags/TAG/current/link
 *     blobs/sha256/HE/HEX/data
 */
const places = [join('docker', 'registry', 'v2'), join('registry', 'v2'), '.'];

export class DistributionFolder {
  /** Has `repositories` and `blobs`. Absolute. */
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Undefined: `path` holds none. Errors: those of the file system. */
  static async find(path: string): Promise<DistributionFolder | undefined> {
    for (const place of places) {
      const root = resolve(path, place);
      const found = await lstat(join(root, 'repositories')).catch(ignoreMissing);
      if (found?.isDirectory() === true) return new DistributionFolder(root);
    }
    return undefined;
  }

  /** Names of repositories, sorted by folder, as they are spelled: the caller checks them. Errors: those of the file system. */
  async *repositories(): AsyncGenerator<string> {
    const root = join(this.path, 'repositories');
    const folders = [root];
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      const entries = await list(folder);
      if (entries.some(entry => entry.name === '_manifests' && entry.isDirectory()))
        yield relative(root, folder).split(sep).join('/');
      for (const entry of entries.reverse())
        if (entry.isDirectory() && !entry.name.startsWith('_')) folders.push(join(folder, entry.name));
    }
  }

  /** A tag whose link can't be read is given to `onBad`. */
  async tags(name: string, onBad: (tag: string) => void): Promise<readonly SourceTag[]> {
    const folder = join(this.path, 'repositories', name, '_manifests', 'tags');
    const tags: SourceTag[] = [];
    for (const entry of await list(folder)) {
      const link = join(folder, entry.name, 'current', 'link');
      const digest = await readLink(link);
      if (digest === undefined || !isTag(entry.name)) onBad(entry.name);
      else tags.push({ tag: entry.name, digest, movedMs: (await lstat(link)).mtimeMs });
    }
    return tags;
  }

  /** Manifests that weren't deleted. */
  async revisions(name: string): Promise<readonly Digest[]> {
    return await this.#linked(join(name, '_manifests', 'revisions'));
  }

  /** Undefined: there is none of that digest, it is too large for a manifest, or its bytes have another digest. */
  async readManifest(digest: Digest): Promise<Buffer | undefined> {
    const size = await this.sizeOf(digest);
    if (size === undefined || size > maxManifestBytes) return undefined;
    const handle = await openRegular(this.pathOf(digest), constants.O_RDONLY).catch(absent);
    if (handle === undefined) return undefined;
    try {
      const bytes = await handle.readFile();
      return digestOf(bytes, algorithmOf(digest)) === digest ? bytes : undefined;
    } finally {
      await handle.close();
    }
  }

  /** Bytes of the file of a blob; undefined: there is none. */
  async sizeOf(digest: Digest): Promise<number | undefined> {
    const found = await lstat(this.pathOf(digest)).catch(ignoreMissing);
    return found?.isFile() === true ? found.size : undefined;
  }

  pathOf(digest: Digest): string {
    const hex = hexOf(digest);
    return join(this.path, 'blobs', algorithmOf(digest), hex.slice(0, 2), hex, 'data');
  }

  async #linked(folder: string): Promise<readonly Digest[]> {
    const digests: Digest[] = [];
    for (const algorithm of ['sha256', 'sha512']) {
      const below = join(this.path, 'repositories', folder, algorithm);
      for (const { name: hex } of await list(below)) {
        const digest = await readLink(join(below, hex, 'link'));
        if (digest !== undefined) digests.push(digest);
      }
    }
    return digests;
  }
}

async function list(folder: string): Promise<Dirent[]> {
  const entries = (await readdir(folder, { withFileTypes: true }).catch(ignoreMissing)) ?? [];
  return entries.sort((one, other) => (one.name < other.name ? -1 : 1));
}

async function readLink(path: string): Promise<Digest | undefined> {
  const text = (await readRegular(path).catch(absent))?.trim();
  return text !== undefined && isDigest(text) ? text : undefined;
}

/** What isn't there, and what is no regular file. */
function absent(error: unknown): undefined {
  if (isOdd(error)) return undefined;
  if (error instanceof StoreError) throw error;
  ignoreMissing(error);
}
