/** Files by name, in a folder or in an archive: what an OCI layout and a docker archive are made of. */
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SourceError } from './image-source.ts';

/** Names are relative, with `/`. */
export interface FileTree {
  /** Bytes of a regular file; undefined: there is none of that name. */
  sizeOf(name: string): Promise<number | undefined>;
  /** From `at` on. Errors: those of the file system. */
  read(name: string, at: number): AsyncIterable<Buffer>;
}

/** What a small file may hold: no index and no manifest is larger. */
const maxSmallBytes = 4 * 1024 * 1024;
const readBytes = 256 * 1024;

/** Undefined: there is none. Errors: SOURCE_INVALID for one above 4 MiB. */
export async function readSmall(tree: FileTree, name: string): Promise<Buffer | undefined> {
  const size = await tree.sizeOf(name);
  if (size === undefined) return undefined;
  if (size > maxSmallBytes)
    throw new SourceError('SOURCE_INVALID', `${name} has ${size} bytes, more than a manifest may have`);
  const chunks: Buffer[] = [];
  for await (const chunk of tree.read(name, 0)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** As `readSmall`, as JSON. Errors: SOURCE_INVALID for anything else. */
export async function readJson(tree: FileTree, name: string): Promise<unknown> {
  const bytes = await readSmall(tree, name);
  if (bytes === undefined) return undefined;
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new SourceError('SOURCE_INVALID', `${name} is not JSON`);
  }
}

/** Bytes `at` … `end - 1` of a file; to its end without `end`. */
export async function* readFileFrom(path: string, at: number, end?: number): AsyncGenerator<Buffer> {
  if (end !== undefined && at >= end) return;
  const handle = await open(path);
  const last = end === undefined ? {} : { end: end - 1 };
  yield* createReadStream(path, { fd: handle, start: at, highWaterMark: readBytes, ...last });
}

export class FolderTree implements FileTree {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async sizeOf(name: string): Promise<number | undefined> {
    try {
      const found = await stat(join(this.#path, name));
      return found.isFile() ? found.size : undefined;
    } catch (error) {
      if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
        return undefined;
      throw error;
    }
  }

  read(name: string, at: number): AsyncIterable<Buffer> {
    return readFileFrom(join(this.#path, name), at);
  }
}
