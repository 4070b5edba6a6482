/**
 * Quoted strings of header fields (RFC 9110 5.6.4), scanned by hand: one pass, no backtracking, whatever an upstream sends.
 */

export interface QuotedString {
  readonly value: string;
  /** Where the text goes on behind the closing quote. */
  readonly end: number;
}

/** Reads the quoted string whose opening quote is at `at`; undefined when there is none or it isn't closed. */
export function scanQuoted(text: string, at: number): QuotedString | undefined {
  if (text[at] !== '"') return undefined;
  const parts: string[] = [];
  let from = at + 1;
  for (let i = from; i < text.length; i += 1) {
    if (text[i] === '"') return { value: parts.join('') + text.slice(from, i), end: i + 1 };
    if (text[i] !== '\\') continue;
    parts.push(text.slice(from, i));
    i += 1;
    from = i; // the escaped character itself is taken as it is
  }
  return undefined;
}

/**
 * Quotes a text. What a header can't carry is replaced: control characters by a space, anything but ASCII by `?`.
 * `maxLength` bounds the result, quotes and escapes included; an escape is never cut in two.
 */
export function formatQuoted(text: string, maxLength = Number.POSITIVE_INFINITY): string {
  let quoted = '"';
  for (const character of text.replace(/\p{Cc}/gu, ' ').replace(/[^ -~]/gu, '?')) {
    const escaped = character === '"' || character === '\\' ? `\\${character}` : character;
    if (quoted.length + escaped.length + 1 > maxLength) break;
    quoted += escaped;
  }
  return `${quoted}"`;
}
