/**
 * The right answer to a request, as a value: the faults are laid over it afterwards, when it is sent.
 */
import type { BlobContent } from './content.ts';

export interface UpstreamAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** What the body is taken from: bytes `start` … `end - 1` of it. */
  readonly content?: BlobContent;
  readonly start: number;
  readonly end: number;
}

export function contentAnswer(
  status: number,
  headers: Readonly<Record<string, string>>,
  content: BlobContent,
): UpstreamAnswer {
  return { status, headers, content, start: 0, end: content.size };
}

export function emptyAnswer(status: number, headers: Readonly<Record<string, string>> = {}): UpstreamAnswer {
  return { status, headers, start: 0, end: 0 };
}

/** RFC 9110 14.2 for a single range; any other Range header is set aside. Answers 200, 206 or 416. */
export function rangedAnswer(
  range: string | undefined,
  headers: Readonly<Record<string, string>>,
  content: BlobContent,
): UpstreamAnswer {
  const found = /^bytes=(\d*)-(\d*)$/.exec(range ?? '');
  const [first, last] = [found?.[1] ?? '', found?.[2] ?? ''];
  if (found === null || (first === '' && last === '')) return contentAnswer(200, headers, content);
  const { size } = content;
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size : Math.min(size, Number(last) + 1);
  // RFC 9110 14.1.1: a last position below the first makes the whole header invalid, and it is ignored.
  if (first !== '' && last !== '' && Number(last) < start) return contentAnswer(200, headers, content);
  if (start >= size) {
    return emptyAnswer(416, { ...headers, 'Content-Range': `bytes */${size}` });
  }
  return {
    status: 206,
    headers: { ...headers, 'Content-Range': `bytes ${start}-${end - 1}/${size}` },
    ...{ content, start, end },
  };
}
