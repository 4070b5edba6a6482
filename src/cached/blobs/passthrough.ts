/**
 * Opens the ways past the store: a whole blob, one closed range, or the rest of a download that met a full disk. Each is
 * for one client, ends with it, and is primed: what fails before the first byte fails before the headers.
 */
import type { Hash } from 'node:crypto';
import type { RecentMismatches } from '../../content/recent-mismatches.ts';
import { waitFor } from '../../lib/wait.ts';
import { algorithmOf, createDigester, type Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import { type ByteRange, resolveRange } from '../../oci/range.ts';
import type { BlobAnswer, BlobSource } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import { verifyFirstBytes } from '../../store/ingest/release-policy.ts';
import type { MismatchError, NoRoomError } from '../../store/store-error.ts';
import type { Observer } from '../../telemetry/observer.ts';
import { type Chunk, resumeTransfer, type TransferPolicy } from '../download/resume.ts';
import { SourceList } from '../download/source-list.ts';
import { PassthroughReader } from './passthrough-reader.ts';

export interface PassthroughOptions {
  readonly policy: TransferPolicy;
  readonly suspects: RecentMismatches;
  readonly observer: Observer;
  readonly signal: AbortSignal;
  now(): number;
}

/** Inclusive, as in the header. */
export interface ClosedRange {
  readonly first: number;
  readonly last: number;
}

interface Passage {
  readonly from: number;
  readonly end?: number;
  readonly expectedSize: number | undefined;
  readonly hash: Hash | undefined;
}

export class Passthrough {
  readonly #options: PassthroughOptions;

  constructor(options: PassthroughOptions) {
    this.#options = options;
  }

  /** Errors: UpstreamError, RANGE_INVALID. */
  async whole(
    digest: Digest,
    source: BlobSource,
    range: ByteRange | undefined,
    signal: AbortSignal,
  ): Promise<BlobAnswer> {
    const hash = createDigester(algorithmOf(digest));
    const { reader, size } = this.#open(digest, source, { from: 0, expectedSize: undefined, hash });
    await primed(reader, signal);
    const total = size();
    if (total === undefined)
      return { outcome: 'passthrough', size: total, start: 0, end: undefined, partial: false, reader };
    const span = range === undefined ? { start: 0, end: total } : resolveRange(range, total);
    if (span !== undefined)
      return { outcome: 'passthrough', size: total, ...span, partial: range !== undefined, reader };
    await reader.close();
    throw unsatisfiable(total);
  }

  /** `ends-at-end`: it reaches the last byte, which can't go out unverified, or can't be had alone. Errors: UpstreamError, RANGE_INVALID. */
  async range(
    digest: Digest,
    source: BlobSource,
    { first, last }: ClosedRange,
    expectedSize: number | undefined,
    signal: AbortSignal,
  ): Promise<BlobAnswer | 'ends-at-end'> {
    if (last < first) throw unsatisfiable(expectedSize);
    const { reader, size } = this.#open(digest, source, {
      from: first,
      end: last + 1,
      expectedSize,
      hash: undefined,
    });
    try {
      await primed(reader, signal);
    } catch (error) {
      const refusal = error instanceof UpstreamError && error.failure === 'range' ? error : undefined;
      const total = size() ?? refusal?.size;
      if (total === undefined ? refusal?.upstreamStatus === 416 : first >= total) throw unsatisfiable(total);
      if (refusal !== undefined) return 'ends-at-end'; // it can't give a part: the whole, then
      throw error;
    }
    const total = size();
    if (total === undefined || last >= total - 1 || total <= verifyFirstBytes) {
      await reader.close();
      return 'ends-at-end';
    }
    return { outcome: 'passthrough', size: total, start: first, end: last + 1, partial: true, reader };
  }

  /** The rest of a closed range that ends before the last byte: `at` … `end - 1` of a blob of `size` bytes. */
  restOfRange(
    digest: Digest,
    source: BlobSource,
    at: number,
    end: number,
    size: number | undefined,
  ): PassthroughReader {
    return this.#open(digest, source, { from: at, end, expectedSize: size, hash: undefined }).reader;
  }

  /** The rest for a client that has drained a download without room. `at`: its next byte; `expectedSize`: what it was told. */
  continueFrom(
    digest: Digest,
    source: BlobSource,
    room: NoRoomError,
    at: number,
    expectedSize: number | undefined,
  ): PassthroughReader {
    const from = at >= room.front ? room.front : 0;
    const hash = from === 0 ? createDigester(algorithmOf(digest)) : room.copyHash();
    return this.#open(digest, source, { from, expectedSize, hash }).reader;
  }

  /** A transfer from byte 0 that is already running. */
  over(
    digest: Digest,
    source: BlobSource,
    transfer: { chunks: AsyncGenerator<Chunk, void, void>; abort(): void },
    size: number | undefined,
  ): PassthroughReader {
    return this.#reader(
      digest,
      transfer.chunks,
      createDigester(algorithmOf(digest)),
      () => size,
      transfer.abort,
      source.upstream,
    );
  }

  #open(
    digest: Digest,
    source: BlobSource,
    passage: Passage,
  ): { reader: PassthroughReader; size: () => number | undefined } {
    const controller = new AbortController();
    let size = passage.expectedSize;
    const chunks = resumeTransfer({
      sources: new SourceList([source]),
      from: passage.from,
      ...(passage.end === undefined ? {} : { end: passage.end }),
      expectedSize: passage.expectedSize,
      ...this.#options.policy,
      signal: AbortSignal.any([controller.signal, this.#options.signal]),
      observer: this.#options.observer,
      now: this.#options.now,
      isBackground: () => false,
      onOpened: (_source, opened) => {
        size = opened ?? size;
      },
    });
    return {
      reader: this.#reader(
        digest,
        chunks,
        passage.hash,
        () => size,
        () => controller.abort(),
        source.upstream,
      ),
      size: () => size,
    };
  }

  #reader(
    digest: Digest,
    chunks: AsyncGenerator<Chunk, void, void>,
    hash: Hash | undefined,
    size: () => number | undefined,
    abort: () => void,
    upstream: string,
  ): PassthroughReader {
    const { suspects } = this.#options;
    return new PassthroughReader({
      digest,
      chunks,
      hash,
      size,
      abort,
      onMismatch: error => {
        suspects.add(digest);
        return wrongBytes(upstream, error); // a range near the end may not have given a byte out yet
      },
    });
  }
}

export function unsatisfiable(size: number | undefined): RegistryError {
  return new RegistryError('RANGE_INVALID', size === undefined ? {} : { detail: { size } });
}

async function primed(reader: PassthroughReader, signal: AbortSignal): Promise<void> {
  try {
    await waitFor(reader.prime(), signal);
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** The upstream's bytes were wrong, and none has gone out: the blob can't be had. */
export function wrongBytes(upstream: string, cause: MismatchError): UpstreamError {
  return new UpstreamError({ upstream, kind: 'blob', failure: 'mismatch', message: cause.message, cause });
}
