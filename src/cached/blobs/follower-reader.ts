/**
 * A client's reader over a running download. While the store has room it is a follower; once the disk is full it drains
 * what the ingest holds and reads on from the sources by itself. The client sees one body either way.
 */
import type { BlobReader } from '../../registry/registry.ts';
import type { Follower } from '../../store/ingest/follower.ts';
import { NoRoomError } from '../../store/store-error.ts';
import type { PassthroughReader } from './passthrough-reader.ts';

export interface FollowerReaderOptions {
  /** `promised`: the length that the client was told, in bytes; another one must not be given out. Errors: MismatchError. */
  readonly switchOver: (room: NoRoomError, at: number, promised: number | undefined) => PassthroughReader;
  /** What the download ended with, as an error that may become an answer when no byte has gone out. */
  readonly explain: (error: unknown) => unknown;
  readonly onClose: () => void;
}

export class FollowerReader implements BlobReader {
  readonly preferredBytes: number;
  readonly #follower: Follower;
  readonly #options: FollowerReaderOptions;
  #passthrough: PassthroughReader | undefined;
  #promised: number | undefined;
  #closed = false;

  constructor(follower: Follower, options: FollowerReaderOptions) {
    this.preferredBytes = follower.preferredBytes;
    this.#follower = follower;
    this.#options = options;
  }

  /** The client is told this length, in bytes: bytes of a blob of another one are an error from now on. */
  promise(size: number): void {
    this.#promised = size;
    this.#follower.promise(size);
  }

  async read(into: Buffer, at: number): Promise<number> {
    if (this.#passthrough !== undefined) return this.#passthrough.read(into, at);
    try {
      return await this.#follower.read(into, at);
    } catch (error) {
      if (!(error instanceof NoRoomError) || this.#closed) throw this.#options.explain(error);
      this.#passthrough = this.#switchOver(error, at);
      await this.#follower.close();
      return this.#passthrough.read(into, at);
    }
  }

  #switchOver(room: NoRoomError, at: number): PassthroughReader {
    try {
      return this.#options.switchOver(room, at, this.#promised);
    } catch (error) {
      throw this.#options.explain(error);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.onClose();
    await this.#follower.close();
    await this.#passthrough?.close();
  }
}
