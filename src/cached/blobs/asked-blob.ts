/** What one request asks of a blob, and the bytes of it that its range means. */
import type { Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Repository } from '../../oci/name.ts';
import { type ByteRange, resolveRange, type Span } from '../../oci/range.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';

export interface AskedBlob {
  readonly record: RepositoryRecord;
  readonly repository: Repository;
  readonly digest: Digest;
}

/** No range: all of it. Errors: RANGE_INVALID (detail `size`). */
export function spanOf(range: ByteRange | undefined, size: number): Span {
  if (range === undefined) return { start: 0, end: size };
  const span = resolveRange(range, size);
  if (span === undefined) throw new RegistryError('RANGE_INVALID', { detail: { size } });
  return span;
}
