/**
 * Header fields made of quoted strings: `Link` of paged answers (RFC 8288; OCI distribution-spec end-8b, end-12) and `Warning` of stale
 * ones. They are scanned by hand: one pass without backtracking, whatever an upstream sends.
 */

const warningPrefix = '299 - ';
const maxWarningBytes = 4096;

export interface QuotedString {
  readonly value: string;
  /** Where the text goes on after the closing quote. */
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

/** OCI distribution-spec "Warnings": only `299 - "text"`, at most 4096 bytes in all. Clients show it and must not act on it. */
export function formatWarning(text: string): string {
  return warningPrefix + formatQuoted(text, maxWarningBytes - warningPrefix.length);
}

/** The target of `rel=next`, as sent: absolute or relative to the request. Undefined when there is no next page. */
export function parseNextLink(header: string | undefined): string | undefined {
  const text = header ?? '';
  let at = 0;
  while (at < text.length) {
    const open = text.indexOf('<', at);
    const close = open === -1 ? -1 : text.indexOf('>', open);
    if (close === -1) return undefined;
    const parameters = scanParameters(text, close + 1);
    if (parameters.rel?.toLowerCase().split(/\s+/).includes('next')) return text.slice(open + 1, close);
    at = parameters.end;
  }
  return undefined;
}

/** `url` must be a URL as `buildEndpoint` makes it: a `>` or a space in it would end it early, so both are encoded. */
export function formatNextLink(url: string): string {
  return `<${url.replace(/>/g, '%3E').replace(/\s/g, '%20')}>; rel="next"`;
}

/** From after `>` to after the comma that ends this link (a comma inside quotes doesn't). The first `rel` counts. */
function scanParameters(text: string, from: number): { rel: string | undefined; end: number } {
  let rel: string | undefined;
  let nameFrom = from;
  let valueFrom: number | undefined;
  let quoted: string | undefined;
  let at = from;
  for (; ; at += 1) {
    const character = text[at];
    if (character === undefined || character === ',' || character === ';') {
      if (valueFrom !== undefined && /^\s*rel\s*$/i.test(text.slice(nameFrom, valueFrom - 1)))
        rel ??= quoted ?? text.slice(valueFrom, at).trim();
      if (character !== ';') return { rel, end: at + 1 };
      nameFrom = at + 1;
      valueFrom = undefined;
      quoted = undefined;
    } else if (character === '=' && valueFrom === undefined) {
      valueFrom = at + 1;
    } else if (character === '"') {
      const string = scanQuoted(text, at);
      if (string === undefined) return { rel, end: text.length }; // never closed: nothing after it can be trusted
      quoted ??= string.value;
      at = string.end - 1;
    }
  }
}
