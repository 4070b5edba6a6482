/**
 * Byte ranges (RFC 9110 14). A `ByteRange` is what a client asked for; `resolveRange` turns it into
 * offsets once the size is known.
 */

/** `first` without `last` is open-ended; `suffix` asks for the last n bytes. All inclusive, in bytes. */
export type ByteRange =
  | { readonly first: number; readonly last?: number }
  | { readonly suffix: number };

/** Half-open: bytes `start` … `end - 1`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}
