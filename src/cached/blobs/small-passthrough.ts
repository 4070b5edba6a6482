/**
 * A blob that is passed through, and small enough to be a manifest: its first bytes tell it of most, and what may be a manifest is read into
 * memory before a byte goes out, because no manifest is served under `/blobs/`.
 */
import type { ManifestGuard } from '../../content/held-files.ts';
import type { Digest } from '../../oci/digest.ts';
import { maxManifestBytes } from '../../oci/manifest.ts';
import type { BlobAnswer, BlobReader } from '../../registry/registry.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';

/** Reads from its beginning, as far as the look at it needs; then goes on where that ended. */
class LookedAtReader implements BlobReader {
  readonly #reader: BlobReader;
  readonly #read: Buffer[] = [];
  #bytes = 0;

  constructor(reader: BlobReader) {
    this.#reader = reader;
  }

  get preferredBytes(): number {
    return this.#reader.preferredBytes;
  }

  /** Keeps what it gives. */
  async look(into: Buffer, at: number): Promise<number> {
    const count = await this.#reader.read(into, at);
    this.#read.push(Buffer.from(into.subarray(0, count)));
    this.#bytes += count;
    return count;
  }

  read(into: Buffer, at: number): Promise<number> {
    if (at >= this.#bytes) return this.#reader.read(into, at);
    if (this.#read.length > 1) this.#read.splice(0, this.#read.length, Buffer.concat(this.#read));
    return Promise.resolve(this.#read[0]?.copy(into, 0, at) ?? 0);
  }

  close(): Promise<void> {
    return this.#reader.close();
  }
}

/** Errors: those of the reader; `refusal` for a manifest. The reader is closed then. */
export async function refuseManifest(
  answer: BlobAnswer,
  record: RepositoryRecord,
  digest: Digest,
  guard: ManifestGuard,
  refusal: () => Error,
): Promise<BlobAnswer> {
  const { size } = answer;
  if (size === undefined || size > maxManifestBytes) return answer;
  const reader = new LookedAtReader(answer.reader);
  try {
    const read = (into: Buffer, at: number) => reader.look(into, at);
    const isManifest =
      guard.known(record, digest, size) ?? (await guard.look(record, digest, { size, read }));
    if (isManifest) throw refusal();
  } catch (error) {
    await reader.close();
    throw error;
  }
  return { ...answer, reader };
}
