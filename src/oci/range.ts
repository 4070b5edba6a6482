/** Byte ranges (RFC 9110 14). A `ByteRange` is what a client asked for; `resolveRange` needs the size and gives offsets. */
import { RegistryError } from './error.ts';

/** `first` without `last` is open-ended; `suffix` asks for the last n bytes. All inclusive, in bytes. */
export type ByteRange = { readonly first: number; readonly last?: number } | { readonly suffix: number };

/** Inclusive, as in the header. */
export interface ClosedRange {
  readonly first: number;
  readonly last: number;
}

/** It names its last byte, so it can be fetched by itself. */
export function isClosed(range: ByteRange): range is ClosedRange {
  return 'first' in range && range.last !== undefined;
}

/** Where it begins, as far as that is known without the size: a suffix counts as the whole. */
export function firstOf(range: ByteRange | undefined): number {
  return range !== undefined && 'first' in range ? range.first : 0;
}

/** Half-open: bytes `start` … `end - 1`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** A `Content-Range` that was understood; `size` is absent when the sender hid it (`*`). */
export interface ContentRange extends Span {
  readonly size?: number;
}

/** Partial pulls of zstd:chunked layers ask for up to 1024 at once; more is not worth an answer of its own. */
const maxRanges = 1024;
const rangePattern = /^(?:(\d+)-(\d*)|-(\d+))$/;
const contentRangePattern = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16}|\*)$/i;

/**
 * The ranges of a `Range` header, in the client's order. Undefined: absent, another unit or malformed, so the whole content is meant
 * (RFC 9110 14.2). A range whose last byte lies before its first is kept, because the answer to it is 416.
 */
export function parseRange(header: string | undefined): readonly ByteRange[] | undefined {
  if (header === undefined || !/^bytes=/i.test(header)) return undefined;
  const ranges: ByteRange[] = [];
  for (const part of header.slice(6).split(',')) {
    const text = part.trim();
    if (text === '') continue; // RFC 9110 5.6.1: empty list elements are ignored
    const range = parseOne(text);
    if (range === undefined || ranges.push(range) > maxRanges) return undefined;
  }
  return ranges.length === 0 ? undefined : ranges;
}

function parseOne(text: string): ByteRange | undefined {
  const match = rangePattern.exec(text);
  if (match === null) return undefined;
  const [, first, last, suffix] = match;
  if (first === undefined) return { suffix: offsetOf(suffix) };
  return last ? { first: offsetOf(first), last: offsetOf(last) } : { first: offsetOf(first) };
}

/** No content is larger than what a number can hold exactly. */
function offsetOf(digits: string | undefined): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER);
}

/** Spans with less than that between them are worth one question: it costs more than the bytes. */
const nearBytes = 64 * 1024;
const maxSpans = 32;

/**
 * What to ask for, so that all of `spans` come with few questions: sorted, disjoint, near ones joined. More than 32 are one, from the first
 * byte to the last.
 */
export function joinSpans(spans: readonly Span[]): readonly Span[] {
  const joined: { start: number; end: number }[] = [];
  for (const { start, end } of [...spans].sort((a, b) => a.start - b.start)) {
    const last = joined.at(-1);
    if (last !== undefined && start <= last.end + nearBytes) last.end = Math.max(last.end, end);
    else joined.push({ start, end });
  }
  const [first, last] = [joined[0], joined.at(-1)];
  if (joined.length <= maxSpans || first === undefined || last === undefined) return joined;
  return [{ start: first.start, end: last.end }];
}

/** Where a range lies in content of `size` bytes; undefined when it can't be satisfied (416). Never empty. */
export function resolveRange(range: ByteRange, size: number): Span | undefined {
  const start = 'suffix' in range ? Math.max(0, size - range.suffix) : range.first;
  const end = 'suffix' in range || range.last === undefined ? size : Math.min(range.last + 1, size);
  return start < end ? { start, end } : undefined;
}

/** The value of a `Range` header for one range. */
export function formatRange(range: ByteRange): string {
  return 'suffix' in range ? `bytes=-${range.suffix}` : `bytes=${range.first}-${range.last ?? ''}`;
}

/** The value of `Content-Range` in a 206; `size` undefined: not known yet (RFC 9110 14.4). */
export function formatContentRange(span: Span, size: number | undefined): string {
  return `bytes ${span.start}-${span.end - 1}/${size ?? '*'}`;
}

/** The value of `Content-Range` in a 416. */
export function formatUnsatisfiedRange(size: number): string {
  return `bytes */${size}`;
}

/** The `Content-Range` of a 206; undefined when absent, of another unit, contradictory or the one of a 416. */
export function parseContentRange(header: string | undefined): ContentRange | undefined {
  const match = contentRangePattern.exec(header ?? '');
  if (match === null) return undefined;
  const start = Number(match[1]);
  const end = Number(match[2]) + 1;
  if (start >= end || end > Number.MAX_SAFE_INTEGER) return undefined;
  if (match[3] === '*') return { start, end };
  const size = Number(match[3]);
  return Number.isSafeInteger(size) && end <= size ? { start, end, size } : undefined;
}

/** Distribution-spec's own form of `Content-Range` for a chunk of an upload, `0-1023`; RFC 9110's is understood too. Undefined: neither. */
export function parseChunkRange(header: string): Span | undefined {
  const match = /^(?:bytes[ =])?(\d{1,16})-(\d{1,16})(?:\/(?:\d{1,16}|\*))?$/i.exec(header.trim());
  if (match === null) return undefined;
  const [start, end] = [Number(match[1]), Number(match[2]) + 1];
  return start < end && end <= Number.MAX_SAFE_INTEGER ? { start, end } : undefined;
}

/** No range: the whole. Errors: RANGE_INVALID (detail `size`). */
export function spanOf(range: ByteRange | undefined, size: number): Span {
  if (range === undefined) return { start: 0, end: size };
  const span = resolveRange(range, size);
  if (span === undefined) throw unsatisfiable(size);
  return span;
}

export function unsatisfiable(size: number | undefined): RegistryError {
  return new RegistryError('RANGE_INVALID', size === undefined ? {} : { detail: { size } });
}
