/**
 * The writing half of the contract: uploads, manifests and deletes. Only a hosted registry implements it; an upstream's
 * repository has no writer. HTTP checks the caller's rights before each call; the caller is passed on because an upload
 * belongs to its user and tag moves are recorded with one.
 *
 * An answer means that the change is durable and visible. Besides the errors of each method: UNAVAILABLE when the store is
 * full, read-only or cannot write; nothing has changed then and the call may be repeated. NAME_INVALID for a repository
 * that this registry does not host.
 */

import type { Digest, DigestAlgorithm } from '../oci/digest.ts';
import type { Descriptor } from '../oci/manifest.ts';
import type { Reference, Repository, Tag } from '../oci/name.ts';
import type { Caller } from './caller.ts';
import type { RegistryReader } from './registry.ts';

export interface WriteOptions {
  readonly caller: Caller;
  /** Ends this call. What an upload has written stays. */
  readonly signal: AbortSignal;
}

export interface StartUpload {
  /** What the client says the blob will be (`?digest=`). `commit` refuses another one. */
  readonly digest?: Digest;
  /** The algorithm to hash with as bytes come (`?digest-algorithm=`); default: that of `digest`, else sha256. */
  readonly algorithm?: DigestAlgorithm;
  readonly mount?: Mount;
}

export interface Mount {
  readonly digest: Digest;
  /** A repository from which the caller may pull by name. Absent: any such repository of this registry. */
  readonly from?: MountSource;
}

/** As `Directory.find` locates it. */
export interface MountSource {
  readonly registry: RegistryReader;
  readonly repository: Repository;
  /** The configured key, or `hosted`. */
  readonly upstream: string;
}

/** The blob was linked: there is nothing to upload. */
export interface Mounted {
  readonly kind: 'mounted';
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

export interface AppendOptions {
  readonly signal: AbortSignal;
  readonly bytes?: number;
  readonly digest?: Digest;
}

/** One upload, which ends with `commit` or `cancel`. It survives a lost connection and a restart of the process. */
export interface UploadSession {
  readonly kind: 'session';
  /** For the URL: 128 random bits. */
  readonly id: string;
  /** How many bytes have been written: where the next chunk must start. */
  readonly offset: number;
  readonly expected: Digest | undefined;
  /**
   * Writes a chunk at `at` (undefined: at `offset`). An append or commit of this session that is still running is ended
   * first, because its client is mostly dead; that call rejects with BLOB_UPLOAD_INVALID. What came of a body counts,
   * even if the body fails. `bytes`: the announced length; a shorter body is no error. Its chunks belong to the session from then on.
   * `digest`: what a `commit` after it will name, so that a quota can refuse it before the body is read.
   * Errors: RANGE_INVALID (detail `offset`) when `at` is not `offset`, and SIZE_INVALID for a body longer than `bytes`:
   * the session goes on after both. BLOB_UPLOAD_UNKNOWN when the session has ended. Those of the body.
   */
  append(at: number | undefined, body: AsyncIterable<Buffer>, options: AppendOptions): Promise<void>;
  /**
   * Ends the session: the bytes become a blob, linked to the repository. The algorithm is that of `digest`.
   * Errors: DIGEST_INVALID when the bytes or `expected` differ from `digest`, and the session is gone;
   * BLOB_UPLOAD_UNKNOWN. After UNAVAILABLE the session goes on.
   */
  commit(digest: Digest, options: { readonly signal: AbortSignal }): Promise<BlobStored>;
  /** Ends the session and drops its bytes. Errors: BLOB_UPLOAD_UNKNOWN. */
  cancel(): Promise<void>;
}

export interface BlobStored {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

export interface PutManifest {
  /** Kept byte for byte. */
  readonly bytes: Buffer;
  /** The request's `Content-Type`. */
  readonly mediaType: string;
  /** Further tags (`?tag=`), moved together with a `reference` that is a tag. */
  readonly tags: readonly Tag[];
}

export interface PutAnswer {
  readonly descriptor: Descriptor;
  /** All tags that point to it now because of this call. */
  readonly tags: readonly Tag[];
  /** Those of `tags` that pointed elsewhere before, or did not exist: `from` undefined. */
  readonly moved: readonly { readonly tag: Tag; readonly from?: Digest }[];
  /** For `OCI-Subject`. The manifest is among the referrers of this digest, whether that exists or not. */
  readonly subject?: Digest;
}

export interface RegistryWriter {
  /** Asked before a body is read: whether anything can be written now. Errors: NAME_INVALID, UNAVAILABLE. */
  requireMayWrite(repository: Repository): void;
  /**
   * POST (end-4a, end-4b, end-11). A mount that is not possible, whatever the reason, starts a session: the answer must
   * not tell whether a repository exists. Errors: UNAVAILABLE for too many open sessions.
   */
  startUpload(
    repository: Repository,
    start: StartUpload,
    options: WriteOptions,
  ): Promise<UploadSession | Mounted>;
  /** The session with that id. Errors: BLOB_UPLOAD_UNKNOWN, also for another repository's or another user's. */
  upload(repository: Repository, id: string, options: WriteOptions): Promise<UploadSession>;
  /**
   * PUT manifest (end-7). Manifest, subject and tag moves become visible at once, or nothing does. The same bytes again
   * are no error. In this order, errors: MANIFEST_INVALID (413) above 4 MiB; DIGEST_INVALID when `reference` is a digest
   * of other bytes; MANIFEST_INVALID for no JSON object, a `mediaType` that differs from the given one, malformed
   * descriptors, sizes that differ from the held content, more than 1,000 descriptors in an image or 10,000 in an index;
   * MANIFEST_BLOB_UNKNOWN (400, detail `digests`: all that are missing) for an image whose config or distributable layers
   * are not linked here (the children of an index may be missing); DENIED (409) for an immutable tag; DENIED (403) above
   * a quota.
   */
  putManifest(
    repository: Repository,
    reference: Reference,
    manifest: PutManifest,
    options: WriteOptions,
  ): Promise<PutAnswer>;
}

export interface RegistryDeleter {
  /** DELETE manifest by tag (end-9): the tag alone. Errors: MANIFEST_UNKNOWN; DENIED (409) for an immutable tag. */
  deleteTag(repository: Repository, tag: Tag, options: WriteOptions): Promise<void>;
  /** DELETE manifest by digest (end-9): with all its tags. Errors: MANIFEST_UNKNOWN; UNSUPPORTED for an immutable tag. */
  deleteManifest(repository: Repository, digest: Digest, options: WriteOptions): Promise<void>;
  /**
   * DELETE blob (end-10): the link of this repository. Errors: BLOB_UNKNOWN; UNSUPPORTED (detail `manifests`) while
   * manifests of this repository need the blob.
   */
  deleteBlob(repository: Repository, digest: Digest, options: WriteOptions): Promise<void>;
}
