/**
 * The readers of one upstream's clients over downloads: what each does when the disk is full, what its client is told
 * when it can't go on, and that it is counted.
 */
import type { Digest } from '../../oci/digest.ts';
import type { BlobSource } from '../../registry/registry.ts';
import type { Follower } from '../../store/ingest/follower.ts';
import { MismatchError, type NoRoomError } from '../../store/store-error.ts';
import type { Observer } from '../../telemetry/observer.ts';
import type { Download } from '../download/download.ts';
import type { RangeRequest } from '../download/range-request.ts';
import { FollowerReader, type FollowerReaderOptions } from './follower-reader.ts';
import { type ClosedRange, type Passthrough, wrongBytes } from './passthrough.ts';

export interface ReadersOptions {
  readonly passages: Passthrough;
  readonly observer: Observer;
}

export class Readers {
  readonly #options: ReadersOptions;

  constructor(options: ReadersOptions) {
    this.#options = options;
  }

  /** To the blob's end, from wherever its client begins. */
  ofWhole(download: Download, follower: Follower, digest: Digest, source: BlobSource): FollowerReader {
    const { passages } = this.#options;
    return this.#reader(follower, digest, source, (room, at, promised = room.size) => {
      const isAsPromised = room.front === 0 && room.size === promised;
      const leftover = isAsPromised ? download.takeLeftover() : undefined;
      return leftover === undefined
        ? passages.continueFrom(digest, source, room, at, promised)
        : passages.over(digest, source, leftover, room.size);
    });
  }

  /** A range that ends before the last byte. */
  ofRange(demand: RangeRequest, { last }: ClosedRange, digest: Digest, source: BlobSource): FollowerReader {
    const goOn: FollowerReaderOptions['switchOver'] = (room, at, promised = room.size) =>
      this.#options.passages.restOfRange(digest, source, at, last + 1, promised);
    return this.#reader(demand.follower, digest, source, goOn, () => demand.leave());
  }

  #reader(
    follower: Follower,
    digest: Digest,
    source: BlobSource,
    goOn: FollowerReaderOptions['switchOver'],
    onClose = () => {},
  ): FollowerReader {
    const { observer } = this.#options;
    observer.followerJoined(source.upstream);
    return new FollowerReader(follower, {
      switchOver: (room: NoRoomError, at: number, promised: number | undefined) => {
        if (room.size !== undefined && room.size !== (promised ?? room.size)) throw new MismatchError(digest);
        return goOn(room, at, promised);
      },
      explain: error => (error instanceof MismatchError ? wrongBytes(source.upstream, error) : error),
      onClose: () => {
        observer.followerLeft(source.upstream);
        onClose();
      },
    });
  }
}
