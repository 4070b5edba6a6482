/**
 * From whatever is there of a blob to all of it in its place: what is missing is fetched, the whole is verified, and
 * committed. Wrong bytes are dropped and all of it asked for again, while a good answer may still come.
 */

import type { Ingest } from '../../store/ingest/ingest.ts';
import { verifyFirstBytes } from '../../store/ingest/release-policy.ts';
import { MismatchError } from '../../store/store-error.ts';
import type { DownloadOptions } from './download-options.ts';
import type { Fill, GapFetcher } from './gap-fetcher.ts';
import { fillAll } from './parallel-transfer.ts';
import type { ReservedRoom } from './reserved-room.ts';

export interface CompletionOptions
  extends Pick<
    DownloadOptions,
    'digest' | 'expectedSize' | 'sources' | 'observer' | 'logger' | 'onMismatch' | 'now'
  > {
  readonly ingest: Ingest;
  readonly filling: GapFetcher;
  readonly room: ReservedRoom;
  readonly fill: Fill;
}

/** Without room it ends too, and the followers go on by themselves. Errors: UpstreamError, MismatchError, StoreError. */
export async function complete(options: CompletionOptions): Promise<void> {
  const { ingest, filling, room, fill, digest, expectedSize, sources, observer, logger } = options;
  ingest.hashFront();
  for (let tries = 1; ; tries += 1) {
    if (!(await fillAll(ingest, filling, fill, options.now))) return ingest.overflow();
    const size = ingest.size ?? ingest.gapFrom(0).start;
    ingest.setSize(size);
    // a partial that was whole, and a blob without a byte, have asked for none yet
    if (!(await room.take(size, true))) return ingest.overflow();
    await ingest.journalAll();
    if (await ingest.verify()) break;
    observer.digestMismatch(sources.current().upstream);
    options.onMismatch();
    const untouched = ingest.hasUntouchedFollower || (ingest.size ?? 0) <= verifyFirstBytes;
    logger.warn('wrong bytes from the upstream', { digest, upstream: sources.current().upstream, tries });
    if (tries >= 2 * sources.count || !(untouched || tries < sources.count)) throw new MismatchError(digest);
    sources.next();
    await ingest.restart();
    if (expectedSize !== undefined) ingest.setSize(expectedSize);
  }
  await ingest.commit();
  room.settle(ingest.size ?? ingest.front);
}
