/**
 * Errors of the store, and the one place where a system error becomes one and is reported (`guardDisk`). None of them is an answer to a
 * client: the caller decides whether it goes on without the store (a full disk must not fail a pull) or gives up.
 */
import type { Hash } from 'node:crypto';
import type { Digest } from '../oci/digest.ts';
import type { Observer, StoreOperation } from '../telemetry/observer.ts';

export type StoreObserver = Pick<Observer, 'storeError'>;

const fullCodes: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT']);
const passingCodes: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR']);

/** What the disk could not do. It never means "not held": that is `undefined`. */
export class StoreError extends Error {
  readonly operation: StoreOperation;
  /**
   * The system's code (`ENOSPC`, `EROFS`, `EIO` …), or one of ours: `TRUNCATED` (a held file is shorter than when it was
   * opened), `CLOSED` (read after or during close), `LAYOUT` (not a store that this version knows), `OWNED` (another
   * process has the store), `ODD` (no regular file).
   */
  readonly code: string;

  constructor(operation: StoreOperation, code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.name = 'StoreError';
    this.operation = operation;
    this.code = code;
  }

  /** The disk or a quota is full: eviction may help. (A read-only disk is not full.) */
  get isFull(): boolean {
    return fullCodes.has(this.code);
  }

  /** The process is short of a resource for a moment; no file is to blame. */
  get isPassing(): boolean {
    return passingCodes.has(this.code);
  }
}

/** Bytes that were given out turned out to be wrong: the body must be cut. */
export class MismatchError extends Error {
  constructor(digest: Digest) {
    super(`the bytes received do not have the digest ${digest}`);
    this.name = 'MismatchError';
  }
}

/** The disk has no room left. Bytes below `front` are on disk and in the hash; `size` is that of the whole blob, if known. */
export class NoRoomError extends Error {
  readonly front: number;
  readonly size: number | undefined;
  readonly #hash: Hash;

  constructor(front: number, hash: Hash, size: number | undefined) {
    super(`no room in the store after ${front} bytes`);
    this.name = 'NoRoomError';
    this.front = front;
    this.size = size;
    this.#hash = hash;
  }

  /** The hash of all bytes below `front`, for one more reader. */
  copyHash(): Hash {
    return this.#hash.copy();
  }
}

/** The `code` of a system error; undefined for anything else. */
export function systemCodeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** True for "there is no such file", which the store takes as "not held", never as a fault. */
export function isMissing(error: unknown): boolean {
  const code = systemCodeOf(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** For `catch`: undefined for a file that is missing. Errors: any other. */
export function ignoreMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error;
}

/** The error as a `StoreError`, reported unless it is one already. Without a system code it gets the code `UNKNOWN`. */
export function toStoreError(operation: StoreOperation, error: unknown, observer: StoreObserver): StoreError {
  if (error instanceof StoreError) return error;
  observer.storeError(operation);
  const reason = error instanceof Error ? error.message : String(error);
  return new StoreError(operation, systemCodeOf(error) ?? 'UNKNOWN', `store, ${operation}: ${reason}`, error);
}

/** Undefined instead of a `StoreError`, which was reported already: a file that can't be read counts as not held, and a transfer replaces it. */
export async function ifReadable<T>(work: Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof StoreError) return undefined;
    throw error;
  }
}

/** Runs one piece of disk work. Errors: `StoreError`, whatever the work throws. */
export async function guardDisk<T>(
  observer: StoreObserver,
  operation: StoreOperation,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toStoreError(operation, error, observer);
  }
}
