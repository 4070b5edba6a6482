/**
 * Layers that are made here: gzip over tar, into a file of a temporary folder, because a blob's digest and length must be known
 * before it is sent. The same content gives the same bytes again, so that a second push finds the blob there.
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { type Digest, finishDigest } from '../oci/digest.ts';
import { readFileFrom } from './file-tree.ts';
import { SourceError } from './image-source.ts';

export interface PackedLayer {
  /** Of the file. */
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Of the tar in it: what an image's config lists as `diff_id`. */
  readonly diffId: Digest;
}

/** A folder of temporary files, made when the first one is needed. */
export class PackingFolder {
  readonly #signal: AbortSignal;
  #path: Promise<string> | undefined;
  #files = 0;
  readonly #byDigest = new Map<Digest, string>();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** `tar` comes as it is. Errors: those of the file system and of the stream. */
  async pack(tar: Readable): Promise<PackedLayer> {
    const path = await this.#newFile();
    const inner = new HashingStream();
    const outer = new HashingStream();
    const file = createWriteStream(path, { flags: 'wx', mode: 0o600 });
    await pipeline(tar, inner, createGzip(), outer, file, { signal: this.#signal });
    const digest = outer.finish();
    this.#byDigest.set(digest, path);
    return { digest, size: outer.bytes, diffId: inner.finish() };
  }

  /** The path of a gzip file's content. Errors: SOURCE_INVALID when it isn't whole; those of the file system. */
  async unpack(path: string): Promise<string> {
    const to = await this.#newFile();
    try {
      const file = createWriteStream(to, { flags: 'wx', mode: 0o600 });
      await pipeline(createReadStream(path), createGunzip(), file, { signal: this.#signal });
    } catch (error) {
      const isDamaged = error instanceof Error && 'code' in error && String(error.code).startsWith('Z_');
      if (!isDamaged) throw error;
      throw new SourceError('SOURCE_INVALID', `${path} is no whole gzip file: ${error.message}`);
    }
    return to;
  }

  /** Undefined: nothing of that digest was packed here. */
  read(digest: Digest, at: number): AsyncIterable<Buffer> | undefined {
    const path = this.#byDigest.get(digest);
    return path === undefined ? undefined : readFileFrom(path, at);
  }

  async remove(): Promise<void> {
    if (this.#path !== undefined) await rm(await this.#path, { recursive: true, force: true });
  }

  async #newFile(): Promise<string> {
    this.#path ??= mkdtemp(join(tmpdir(), 'cistern-push-'));
    this.#files += 1;
    return join(await this.#path, String(this.#files));
  }
}

/** Passes bytes on, counts and hashes them. */
class HashingStream extends Transform {
  readonly #hash: Hash = createHash('sha256');
  bytes = 0;

  override _transform(chunk: Buffer, _encoding: string, done: (error: null, chunk: Buffer) => void): void {
    this.#hash.update(chunk);
    this.bytes += chunk.length;
    done(null, chunk);
  }

  finish(): Digest {
    return finishDigest('sha256', this.#hash);
  }
}
