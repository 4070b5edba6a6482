/**
 * Blob content for tests. A pattern blob is pseudo-random bytes made from a seed and the offset (an AES-CTR key stream,
 * so it can start anywhere), which means that a blob of 100 MB holds no memory and any slice can be made when asked for.
 * No two offsets look alike, so a byte at the wrong place is always noticed.
 */
import { createCipheriv, createHash } from 'node:crypto';
import { type Digest, type DigestAlgorithm, digestOf } from '../../src/oci/digest.ts';

/** Bytes that can be read by offset. */
export interface BlobContent {
  /** Bytes. */
  readonly size: number;
  /** Of the true content; computed at the first use, then kept. */
  readonly digest: Digest;
  /** A buffer with bytes `start` … `end - 1`, which the caller may change. */
  slice(start: number, end: number): Buffer;
}

const blockBytes = 16;
const hashStepBytes = 1024 * 1024;

class PatternBlob implements BlobContent {
  readonly size: number;
  readonly #key: Buffer;
  readonly #algorithm: DigestAlgorithm;
  #digest: Digest | undefined;

  constructor(seed: string, size: number, algorithm: DigestAlgorithm) {
    this.size = size;
    this.#key = createHash('sha256').update(seed).digest().subarray(0, 16);
    this.#algorithm = algorithm;
  }

  get digest(): Digest {
    this.#digest ??= digestOfSlices(this, this.#algorithm);
    return this.#digest;
  }

  slice(start: number, end: number): Buffer {
    const skip = start % blockBytes;
    const counter = Buffer.alloc(blockBytes);
    counter.writeBigUInt64BE(BigInt((start - skip) / blockBytes), 8);
    const cipher = createCipheriv('aes-128-ctr', this.#key, counter);
    return cipher.update(Buffer.alloc(skip + Math.max(0, end - start))).subarray(skip);
  }
}

class BytesBlob implements BlobContent {
  readonly #bytes: Buffer;
  readonly #algorithm: DigestAlgorithm;

  constructor(bytes: Buffer, algorithm: DigestAlgorithm) {
    this.#bytes = bytes;
    this.#algorithm = algorithm;
  }

  get size(): number {
    return this.#bytes.length;
  }

  get digest(): Digest {
    return digestOf(this.#bytes, this.#algorithm);
  }

  slice(start: number, end: number): Buffer {
    return Buffer.from(this.#bytes.subarray(start, end));
  }
}

/** The same seed and size always give the same bytes; a longer one with the same seed begins alike. */
export function patternBlob(seed: string, size: number, algorithm: DigestAlgorithm = 'sha256'): BlobContent {
  return new PatternBlob(seed, size, algorithm);
}

export function bytesBlob(bytes: Buffer | string, algorithm: DigestAlgorithm = 'sha256'): BlobContent {
  return new BytesBlob(Buffer.from(bytes), algorithm);
}

export function asContent(content: BlobContent | Buffer | string): BlobContent {
  return typeof content === 'string' || Buffer.isBuffer(content) ? bytesBlob(content) : content;
}

function digestOfSlices(content: BlobContent, algorithm: DigestAlgorithm): Digest {
  const hash = createHash(algorithm);
  for (let at = 0; at < content.size; at += hashStepBytes) {
    hash.update(content.slice(at, Math.min(at + hashStepBytes, content.size)));
  }
  return `${algorithm}:${hash.digest('hex')}` as Digest;
}
