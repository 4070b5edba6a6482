/** A descriptor: what a manifest says about content it names (OCI image-spec, "OCI Content Descriptors"). */
import type { Digest } from './digest.ts';

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}
