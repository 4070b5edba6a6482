/**
 * What the disk could not do. A `StoreError` never means "not held" (that is `undefined`), and it is no answer to a
 * client: the caller decides whether it goes on without the store (a full disk must not fail a pull) or gives up.
 * `guardDisk` is the one place where a system error becomes a `StoreError` and is reported.
 */
import type { Observer, StoreOperation } from '../telemetry/observer.ts';

export type StoreObserver = Pick<Observer, 'storeError'>;

/** No room for us: the disk, or our share of it. */
const fullCodes: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT']);
const passingCodes: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR']);

export class StoreError extends Error {
  readonly operation: StoreOperation;
  /**
   * The system's code (`ENOSPC`, `EROFS`, `EIO` …), or one of ours: `TRUNCATED` (a held file is shorter than when it was
   * opened), `CLOSED` (read after or during close), `LAYOUT` (not a store that this version knows), `OWNED` (another
   * process has the store).
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

  /** The process is short of something for a moment; no file is to blame. */
  get isPassing(): boolean {
    return passingCodes.has(this.code);
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

/**
 * The fault as a `StoreError`, reported. One that is a `StoreError` already was reported where it arose.
 * Anything without a system code gets the code `UNKNOWN`.
 */
export function toStoreError(operation: StoreOperation, error: unknown, observer: StoreObserver): StoreError {
  if (error instanceof StoreError) return error;
  observer.storeError(operation);
  const reason = error instanceof Error ? error.message : String(error);
  return new StoreError(operation, systemCodeOf(error) ?? 'UNKNOWN', `store, ${operation}: ${reason}`, error);
}

/** What can't be opened is as good as not held: it costs a transfer, which replaces it. It was reported where it arose. */
export async function ifReadable<T>(work: Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof StoreError) return undefined;
    throw error;
  }
}

/** Runs one piece of disk work; whatever it throws becomes a `StoreError`. */
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
