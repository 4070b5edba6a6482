/**
 * The `Link` header of paged answers (RFC 8288; OCI distribution-spec end-8b, end-12). Only `rel="next"` means something here.
 */
import { scanQuoted } from './quoted-string.ts';

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

/** From behind `>` to behind the comma that ends this link (a comma inside quotes doesn't). The first `rel` counts. */
function scanParameters(text: string, from: number): { rel: string | undefined; end: number } {
  let rel: string | undefined;
  let nameFrom = from;
  let valueFrom: number | undefined;
  let quoted: string | undefined;
  let at = from;
  for (; ; at += 1) {
    const character = text[at];
    if (character === undefined || character === ',' || character === ';') {
      if (
        valueFrom !== undefined &&
        text
          .slice(nameFrom, valueFrom - 1)
          .trim()
          .toLowerCase() === 'rel'
      ) {
        rel ??= quoted ?? text.slice(valueFrom, at).trim();
      }
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
