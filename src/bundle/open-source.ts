/** Finds out what a source is: an OCI layout, an archive of docker or of an OCI layout, or a folder of any other files. */
import { open, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { isDockerArchive, readDockerArchive } from './docker-archive.ts';
import { FolderTree } from './file-tree.ts';
import { readFolderArtifact } from './folder-artifact.ts';
import { type ImageSource, SourceError } from './image-source.ts';
import { isOciLayout, readOciLayout } from './oci-layout.ts';
import { PackingFolder } from './packing.ts';
import { TarTree } from './tar-tree.ts';

export interface OpenSource {
  /** Which image, where there are several: its name or its digest. */
  readonly select?: string;
  /** Of the artifact that a folder becomes. */
  readonly artifactType: string;
  readonly signal: AbortSignal;
}

/** What compressed files begin with, besides gzip, which is read. */
const compressions = [
  ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a])],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ['bzip2', Buffer.from([0x42, 0x5a, 0x68])],
] as const;
const gzipMagic = Buffer.from([0x1f, 0x8b]);

/** The caller closes what it gets. Errors: `SourceError`; those of the file system; the signal's reason. */
export async function openSource(path: string, options: OpenSource): Promise<ImageSource> {
  const { select, artifactType, signal } = options;
  const packing = new PackingFolder(signal);
  try {
    if ((await stat(path)).isDirectory()) {
      const folder = new FolderTree(path);
      if (await isOciLayout(folder)) return await readOciLayout(folder, select);
      return await readFolderArtifact(resolve(path), artifactType, packing);
    }
    const tree = await TarTree.open(await unpacked(path, packing), signal);
    if (await isOciLayout(tree)) {
      const source = await readOciLayout(tree, select);
      return { ...source, kind: 'OCI archive', close: () => packing.remove() };
    }
    if (await isDockerArchive(tree)) return await readDockerArchive(tree, select, packing);
    throw new SourceError(
      'SOURCE_INVALID',
      `${path} holds no image: it has neither oci-layout nor docker's manifest.json`,
    );
  } catch (error) {
    await packing.remove();
    throw error;
  }
}

async function unpacked(path: string, packing: PackingFolder): Promise<string> {
  const start = await readStart(path);
  if (start.subarray(0, gzipMagic.length).equals(gzipMagic)) return packing.unpack(path);
  for (const [name, magic] of compressions)
    if (start.subarray(0, magic.length).equals(magic))
      throw new SourceError('SOURCE_INVALID', `${path} is compressed with ${name}: unpack it first`);
  return path;
}

async function readStart(path: string): Promise<Buffer> {
  const handle = await open(path);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(8), 0, 8, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
