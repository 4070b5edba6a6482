/**
 * The contract: HTTP serves it; `upstream/`, `cached/` and (later) `hosted/` implement it. So the mirror is a server on a cache on a client.
 *
 * Repositories are canonical within their registry (`library/alpine`). Every method may throw a `RegistryError`;
 * each lists the codes that belong to it. Besides those: DENIED when the repository is not allowed here, and
 * UNAVAILABLE (for blobs BLOB_UNKNOWN) as an `UpstreamError` when it is not held and the upstream cannot be asked.
 * A signal that aborts ends this caller's wait, never work that others share.
 */

import type { Digest, ForeignDigest } from '../oci/digest.ts';
import type { Descriptor } from '../oci/manifest.ts';
import type { Reference, Repository } from '../oci/name.ts';
import type { ByteRange } from '../oci/range.ts';
import type { Outcome } from '../telemetry/observer.ts';
import type { Caller } from './caller.ts';

/** Why a held answer went out although it could not be checked in time. Text for the `Warning` header. */
export type StaleReason =
  | 'offline'
  | 'unreachable'
  | 'slow'
  | 'refused'
  | 'gone'
  | 'rate-limited'
  | 'pull-quota';

export interface Answer {
  readonly outcome: Outcome;
  /** When the upstream last confirmed it: milliseconds since the epoch. */
  readonly checkedAt?: number;
  readonly stale?: StaleReason;
}

export interface ReadOptions {
  readonly signal: AbortSignal;
  /** The client sent `Cache-Control: no-cache`: a held tag is checked whatever its age. */
  readonly mustCheck?: boolean;
  /** The client's address: one that asks for the same again at once has probably got a bad copy. */
  readonly client?: string;
  /** Absent: anonymous, who gets what is public. */
  readonly caller?: Caller;
  /** Of the client's request: an upstream that is asked for it gets the id along. */
  readonly requestId?: string;
  /** Of an upstream: without its credentials, to see what is public. */
  readonly anonymous?: boolean;
  /** Of an upstream: a HEAD that it refuses is not followed by a GET, which may count in a pull limit. */
  readonly headOnly?: boolean;
}

export interface ResolveAnswer extends Answer {
  readonly descriptor: Descriptor;
  /** Of an upstream whose HEAD said nothing: it was asked by GET, and these are the verified bytes. */
  readonly bytes?: Buffer;
}

export interface ManifestAnswer extends ResolveAnswer {
  /** As received: never converted, never trimmed. */
  readonly bytes: Buffer;
}

export interface StatAnswer extends Answer {
  /** Bytes; undefined when the upstream proved existence by a redirect and nothing names the size. */
  readonly size: number | undefined;
}

export interface StatOptions extends ReadOptions {
  /** That the blob is there is all that is asked: a redirect proves it, and the size may stay unknown. */
  readonly existenceOnly?: boolean;
}

export interface BlobAnswer extends Answer {
  /** Of the whole blob, in bytes; undefined only while an upstream hides it. */
  readonly size: number | undefined;
  /** What `reader` gives: bytes `start` … `end - 1`. `end` undefined: to the end of a blob whose size isn't known yet. */
  readonly start: number;
  readonly end: number | undefined;
  /** False: the whole blob is given with 200 although a range was asked for (see `content/bad-blobs.ts`). */
  readonly partial: boolean;
  /** The whole blob is a file of the store under its digest, and nothing of it is left to be verified. */
  readonly isVerifiedFile?: boolean;
  /** The caller closes it. */
  readonly reader: BlobReader;
}

/**
 * Bytes of one blob. A held file and one that is still growing look alike: a follower waits inside `read`.
 * Reads go forward: `at` is where the last read ended, or later.
 */
export interface BlobReader {
  /** How large a buffer is worth handing in: large for a held file, small for a follower. Bytes. */
  readonly preferredBytes: number;
  /**
   * Fills `into` from offset `at` of the blob; resolves with the count, 0 only at the blob's end.
   * Errors: any error means the body must be cut; what was read before it was right as far as is known.
   */
  read(into: Buffer, at: number): Promise<number>;
  /**
   * Bytes at `at`, at most `maxBytes`, that are in memory and never change, so that they can be sent as they are. Undefined: `read` has
   * them. Errors: as `read`.
   */
  peek?(at: number, maxBytes: number): Buffer | undefined;
  /** Resolves when bytes at `at` are here, or the blob ends or fails there: when `read` need not wait. Errors: as `read`. */
  arrival?(at: number): Promise<void>;
  /** Idempotent. A pending read is rejected. */
  close(): Promise<void>;
}

export interface TagsPage extends Answer {
  readonly tags: readonly string[];
  /** Set when there is a next page: the `last` to ask it with. */
  readonly next?: { readonly last: string; readonly n?: number };
  /** Instead of `next`, when the next page is the upstream's: its query, to be appended to our own URL. */
  readonly nextQuery?: string;
}

export interface PageOptions extends ReadOptions {
  readonly n?: number;
  readonly last?: string;
  /** The query of an upstream's page, from an earlier `nextQuery`. It counts where that upstream's pages are passed through. */
  readonly query?: string;
}

export interface ReferrersAnswer extends Answer {
  /** An OCI image index, as JSON bytes. */
  readonly bytes: Buffer;
  /** The upstream applied the filter itself. */
  readonly filtered: boolean;
  /** Set when there is a next page: its query, to be appended to our own URL. */
  readonly nextQuery?: string;
}

export interface RegistryReader {
  /** HEAD manifest (end-3). Errors: MANIFEST_UNKNOWN. */
  resolve(repository: Repository, reference: Reference, options: ReadOptions): Promise<ResolveAnswer>;
  /** GET manifest (end-3). Errors: MANIFEST_UNKNOWN. */
  manifest(repository: Repository, reference: Reference, options: ReadOptions): Promise<ManifestAnswer>;
  /**
   * What `manifest` would answer any caller, or `resolve` for `HEAD`, when memory is enough: it does no I/O.
   * Undefined means "not answerable from memory", not "not found".
   */
  manifestAtOnce?(
    repository: Repository,
    reference: Reference,
    method?: 'GET' | 'HEAD',
  ): ManifestAnswer | undefined;
  /** HEAD blob (end-2); downloads nothing. Errors: BLOB_UNKNOWN. */
  stat(repository: Repository, digest: Digest, options: StatOptions): Promise<StatAnswer>;
  /** GET blob (end-2), whole or one range. Errors: BLOB_UNKNOWN, RANGE_INVALID (detail `size`). */
  blob(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    options: ReadOptions,
  ): Promise<BlobAnswer>;
  /** One page of tags (end-8). Errors: NAME_UNKNOWN. */
  tags(repository: Repository, options: PageOptions): Promise<TagsPage>;
  /**
   * Content that nothing here can verify: passed through, never kept. Absent: this registry has none. Errors: MANIFEST_UNKNOWN,
   * BLOB_UNKNOWN, RANGE_INVALID.
   */
  foreign?(repository: Repository, question: ForeignQuestion, options: ReadOptions): Promise<ForeignAnswer>;
  /** Referrers (end-12). An empty index when there are none. `query` is the upstream's own page query. */
  referrers(
    repository: Repository,
    digest: Digest,
    artifactType: string | undefined,
    options: ReadOptions & { readonly query?: string },
  ): Promise<ReferrersAnswer>;
}

/** What is asked of content under a digest that isn't computed here. */
export interface ForeignQuestion {
  readonly of: 'manifest' | 'blob';
  readonly digest: ForeignDigest;
  readonly method: 'GET' | 'HEAD';
  /** Of a blob. */
  readonly range?: ByteRange | undefined;
}

export interface ForeignAnswer extends Answer {
  readonly mediaType: string;
  /** Bytes, if the upstream says it. */
  readonly size: number | undefined;
  /** To GET: a manifest's bytes, or a blob. */
  readonly body?: Buffer | BlobAnswer;
}

export interface RepositoriesPage extends Answer {
  /** Canonical: `docker.io/library/alpine`. */
  readonly repositories: readonly string[];
  readonly next?: { readonly last: string; readonly n: number };
}

/** What is held, over all registries (distribution's `_catalog`). */
export interface RepositoryCatalog {
  /** One page, sorted, of what this caller may pull. */
  repositories(options: PageOptions): Promise<RepositoriesPage>;
}

/** Whether a client waits for a transfer, which may change while it runs. */
export interface TransferPriority {
  readonly isBackground: boolean;
  /** `onChange` is called at each change, until the function it gives is called. */
  watch(onChange: () => void): () => void;
}

/** A background transfer has given its connection to one that a client waits for. It may be opened again at once, and queues then. */
export class TransferYielded extends Error {
  override readonly name = 'TransferYielded';

  constructor() {
    super('the connection is needed for a transfer that a client waits for');
  }
}

/** Where bytes of one blob come from: an upstream, a peer; later a bucket. */
export interface BlobSource {
  /** For logs and metrics: the configured key of the upstream. */
  readonly upstream: string;
  /** Which of the upstream's repositories it reads through. */
  readonly repository: string;
  /** The same blob at further URLs of the same upstream, in the order in which to ask. They have none of their own. */
  readonly alternatives?: readonly BlobSource[];
  /** False: one transfer at a time, however far away it is. Absent: several may share a large blob. */
  readonly parallel?: boolean;
  /** How far away it is, in milliseconds; absent or undefined: not known, so one transfer has to do. */
  roundTripMs?(): number | undefined;
  /**
   * Opens the blob at `offset` (> 0: with `Range: bytes=offset-`, on a fresh redirect), or `offset` … `end - 1`.
   * The answer says where it really starts: 0 when the source knows no ranges.
   * Errors: `UpstreamError`, `TransferYielded`, both of `open` and of the stream.
   */
  open(
    offset: number,
    options: {
      readonly signal: AbortSignal;
      readonly end?: number;
      /** With `end`: all of the blob is being fetched, and this is a gap in what is here already. */
      readonly isWhole?: boolean;
      /** Absent: a client waits for it until it ends. */
      readonly priority?: TransferPriority;
      /** It waits in a queue of this mirror's own (true), or no longer: that time is no silence of the source. */
      onQueue?(isWaiting: boolean): void;
      /** As in `ReadOptions`. */
      readonly requestId?: string;
      /** Without the upstream's credentials. */
      readonly anonymous?: boolean;
      /** Of the whole blob, in bytes, where it is known: a source that has a choice passes over other lengths. */
      readonly expectedSize?: number;
      /** Where an earlier answer came from (`OpenedSource.target`): it is asked directly, without the redirect. */
      readonly target?: URL | undefined;
    },
  ): Promise<OpenedSource>;
}

export interface OpenedSource {
  /** Network chunks. Leaving the loop early, or aborting the signal, ends the transfer. */
  readonly stream: AsyncIterable<Buffer>;
  readonly start: number;
  /** Of the whole blob; undefined when the source does not say. */
  readonly size: number | undefined;
  /** False: a range was asked for, the whole is given. */
  readonly isPartial?: boolean;
  /** Where a redirect led, which may be asked again for a while. It is signed: never for a log. */
  readonly target?: URL;
}
