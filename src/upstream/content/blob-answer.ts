/** A transfer as an answer of the contract: the range that was asked for, cut out of what the upstream gave. */
import { RegistryError } from '../../oci/error.ts';
import { type ByteRange, resolveRange } from '../../oci/range.ts';
import type { BlobAnswer } from '../../registry/registry.ts';
import { type OpenedTransfer, UnsatisfiableRange } from './blobs.ts';
import { TransferReader } from './transfer-reader.ts';

/**
 * `open` gets a signal that ends with the caller's and when the reader is closed.
 * Errors: RANGE_INVALID (detail `size`); what `open` throws.
 */
export async function answerBlob(
  range: ByteRange | undefined,
  signal: AbortSignal,
  open: (signal: AbortSignal) => Promise<OpenedTransfer>,
): Promise<BlobAnswer> {
  const cut = new AbortController();
  try {
    const opened = await open(AbortSignal.any([cut.signal, signal]));
    const { size } = opened;
    const isCut = range !== undefined && !opened.isPartial && size !== undefined;
    const span = isCut ? resolveRange(range, size) : opened;
    if (span === undefined) throw rangeInvalid(size, undefined);
    const reader = new TransferReader(opened, span.end, reason => cut.abort(reason));
    // a whole blob of unknown length can't be cut: it is given as it is
    const partial = isCut || (range !== undefined && opened.isPartial);
    return { outcome: 'passthrough', size, start: span.start, end: span.end, partial, reader };
  } catch (error) {
    cut.abort(error);
    throw error instanceof UnsatisfiableRange ? rangeInvalid(error.size, error) : error;
  }
}

/** OCI distribution-spec end-2, RFC 9110 15.5.17. */
function rangeInvalid(size: number | undefined, cause: unknown): RegistryError {
  return new RegistryError('RANGE_INVALID', { detail: size === undefined ? {} : { size }, cause });
}
