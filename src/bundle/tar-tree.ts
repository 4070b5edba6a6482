/**
 * The files of a tar archive, read from the archive itself: one pass finds where each one's bytes are, and nothing is
 * unpacked. Links inside the archive are followed (docker writes one for a layer that it has written already).
 */
import { createReadStream } from 'node:fs';
import { posix } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { extract, type Header } from 'tar-stream';
import { type FileTree, readFileFrom } from './file-tree.ts';
import { SourceError } from './image-source.ts';

interface Place {
  readonly at: number;
  readonly size: number;
}

const maxLinks = 8;
/** An image has a few files for each layer. */
const maxEntries = 100_000;

export class TarTree implements FileTree {
  readonly #path: string;
  readonly #files: ReadonlyMap<string, Place>;
  readonly #links: ReadonlyMap<string, string>;

  private constructor(path: string, files: ReadonlyMap<string, Place>, links: ReadonlyMap<string, string>) {
    this.#path = path;
    this.#files = files;
    this.#links = links;
  }

  /** Errors: SOURCE_INVALID for a file that is no whole tar archive; those of the file system. */
  static async open(path: string, signal: AbortSignal): Promise<TarTree> {
    const files = new Map<string, Place>();
    const links = new Map<string, string>();
    const archive = extract();
    archive.on('entry', (header, stream, next) => {
      stream.on('error', () => {}); // the archive's own error, which the pipeline reports
      stream.on('end', () => next());
      stream.resume();
      const name = posix.normalize(header.name);
      if (files.size + links.size >= maxEntries) return next(new Error('it has too many files'));
      if (header.type === 'file') files.set(name, { at: offsetOf(header), size: header.size });
      else if (header.type === 'symlink' || header.type === 'link') links.set(name, targetOf(name, header));
    });
    try {
      await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), archive, { signal });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Error && 'syscall' in error) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new SourceError('SOURCE_INVALID', `${path} is no whole tar archive: ${reason}`);
    }
    return new TarTree(path, files, links);
  }

  async sizeOf(name: string): Promise<number | undefined> {
    return this.#find(name)?.size;
  }

  async *read(name: string, at: number): AsyncGenerator<Buffer> {
    const place = this.#find(name);
    if (place === undefined) throw new SourceError('SOURCE_INVALID', `${this.#path} has no ${name}`);
    yield* readFileFrom(this.#path, place.at + at, place.at + place.size);
  }

  #find(name: string): Place | undefined {
    let target = posix.normalize(name);
    for (let links = 0; links <= maxLinks; links += 1) {
      const place = this.#files.get(target);
      if (place !== undefined) return place;
      const next = this.#links.get(target);
      if (next === undefined) return undefined;
      target = next;
    }
    return undefined;
  }
}

/** tar-stream sets it, and its types don't say so. */
function offsetOf(header: Header): number {
  if ('byteOffset' in header && typeof header.byteOffset === 'number') return header.byteOffset;
  throw new Error('the archive does not say where its files are');
}

/** A hard link names a file of the archive from its root, a symbolic one from its own folder. */
function targetOf(name: string, { type, linkname }: Header): string {
  return posix.normalize(type === 'link' ? linkname : posix.join(posix.dirname(name), linkname));
}
