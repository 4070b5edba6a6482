/**
 * A folder of files as an artifact of one layer: a gzipped tar of the folder, titled with its name, as `oras push` writes it and
 * `oras pull` unpacks it. Owners and times are left out, so that the same files give the same digest again.
 */
import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Pack, pack } from 'tar-stream';
import { digestOf } from '../oci/digest.ts';
import { emptyConfigType, ociManifest } from '../oci/media-type.ts';
import { type ImageSource, SourceError } from './image-source.ts';
import type { PackingFolder } from './packing.ts';

const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip';
/** What ORAS gives an artifact whose type is not told. */
export const defaultArtifactType = 'application/vnd.unknown.artifact.v1';
/** Times are left out. */
const mtime = new Date(0);

/** Errors: SOURCE_INVALID for what a tar can't hold; those of the file system. */
export async function readFolderArtifact(
  path: string,
  artifactType: string,
  packing: PackingFolder,
): Promise<ImageSource> {
  const name = basename(path);
  const tar = pack();
  const written = writeFolder(tar, path, name).then(
    () => tar.finalize(),
    (error: unknown) => tar.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  const [layer] = await Promise.all([packing.pack(Readable.from(tar)), written]);
  const config = Buffer.from(JSON.stringify({}));
  const configBlob = { mediaType: emptyConfigType, digest: digestOf(config), size: config.length };
  const layerBlob = { mediaType: layerType, digest: layer.digest, size: layer.size };
  const annotations = {
    'io.deis.oras.content.digest': layer.diffId,
    'io.deis.oras.content.unpack': 'true',
    'org.opencontainers.image.title': name,
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: ociManifest,
    artifactType,
    config: configBlob,
    layers: [{ ...layerBlob, annotations }],
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  return {
    kind: 'folder',
    manifests: [
      { descriptor: { mediaType: ociManifest, digest: digestOf(bytes), size: bytes.length }, bytes },
    ],
    blobs: [configBlob, layerBlob],
    read: (digest, at) => packing.read(digest, at) ?? Readable.from([config.subarray(at)]),
    close: () => packing.remove(),
  };
}

/** By name, as bytes: the order of a folder's entries is the file system's. */
async function writeFolder(tar: Pack, folder: string, name: string): Promise<void> {
  await writeEntry(tar, { name: `${name}/`, type: 'directory', mode: 0o755, mtime });
  const entries = await readdir(folder);
  for (const entry of entries.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))) {
    const path = join(folder, entry);
    const inside = `${name}/${entry}`;
    const found = await lstat(path);
    const mode = found.mode & 0o777;
    if (found.isDirectory()) await writeFolder(tar, path, inside);
    else if (found.isSymbolicLink())
      await writeEntry(tar, {
        name: inside,
        type: 'symlink',
        linkname: await readlink(path),
        mode: 0o777,
        mtime,
      });
    else if (found.isFile()) {
      const file = tar.entry({ name: inside, type: 'file', size: found.size, mode, mtime });
      await pipeline(createReadStream(path), file);
    } else throw new SourceError('SOURCE_INVALID', `${path} is no file, folder or symbolic link`);
  }
}

function writeEntry(tar: Pack, header: Parameters<Pack['entry']>[0]): Promise<void> {
  return new Promise((resolve, reject) => {
    tar.entry(header, error => (error ? reject(error) : resolve()));
  });
}
