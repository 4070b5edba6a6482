/**
 * A client's reader over a running download. While the store has room it is a follower; once the disk is full it drains
 * what the ingest holds and reads on from the sources by itself. The client sees one body either way.
 */
import type { BlobReader } from '../registry/registry.ts';
import type { Follower } from '../store/follower.ts';
import { NoRoomError } from '../store/ingest-error.ts';
import type { PassthroughReader } from './passthrough.ts';

export class FollowingReader implements BlobReader {
  readonly preferredBytes: number;
  readonly #follower: Follower;
  readonly #switchOver: (room: NoRoomError, at: number) => PassthroughReader;
  readonly #onClose: () => void;
  #passthrough: PassthroughReader | undefined;
  #closed = false;

  constructor(
    follower: Follower,
    switchOver: (room: NoRoomError, at: number) => PassthroughReader,
    onClose: () => void,
  ) {
    this.preferredBytes = follower.preferredBytes;
    this.#follower = follower;
    this.#switchOver = switchOver;
    this.#onClose = onClose;
  }

  async read(into: Buffer, at: number): Promise<number> {
    if (this.#passthrough !== undefined) return this.#passthrough.read(into, at);
    try {
      return await this.#follower.read(into, at);
    } catch (error) {
      if (!(error instanceof NoRoomError) || this.#closed) throw error;
      this.#passthrough = this.#switchOver(error, at);
      await this.#follower.close();
      return this.#passthrough.read(into, at);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#onClose();
    await this.#follower.close();
    await this.#passthrough?.close();
  }
}
