/**
 * URLs of the storage host that blobs are redirected to. Like presigned URLs of an object store, each holds for one
 * method and for one use, and a request that also carries Authorization is refused.
 */
import { randomBytes } from 'node:crypto';
import type { BlobContent } from './content.ts';

interface SignedUrl {
  readonly method: string;
  readonly content: BlobContent;
  usesLeft: number;
}

export class SignedUrls {
  readonly #uses: number;
  readonly #signed = new Map<string, SignedUrl>();

  constructor(uses: number) {
    this.#uses = uses;
  }

  /** Path and query. */
  sign(method: string, repository: string, digest: string, content: BlobContent): string {
    const signature = randomBytes(16).toString('hex');
    this.#signed.set(signature, { method, content, usesLeft: this.#uses });
    return `/storage/${repository}/${digest}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=1200&X-Amz-Signature=${signature}`;
  }

  /** The content, or the status of the refusal. */
  open(method: string, query: URLSearchParams, authorization: string | undefined): BlobContent | 400 | 403 {
    if (authorization !== undefined) return 400;
    const signed = this.#signed.get(query.get('X-Amz-Signature') ?? '');
    if (signed === undefined || signed.method !== method || signed.usesLeft <= 0) return 403;
    signed.usesLeft -= 1;
    return signed.content;
  }
}
