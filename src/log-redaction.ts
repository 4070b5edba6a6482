/**
 * Redaction of every string that goes to the log. It hides credentials inside text, which pino's `redact` (field paths only)
 * can't: userinfo and query values of URLs, Authorization values, JSON web tokens, `password=…` pairs. In doubt it hides.
 */

/** Replaces a secret. */
export const hidden = '***';

/** Query names whose values are part of the distribution protocol and never secret. */
const openQueryNames: ReadonlySet<string> = new Set(
  'ns n last artifacttype digest mount from scope service'.split(' '),
);

const headerName = '(?:proxy-)?authorization|(?:set-)?cookie';
const secretWord = '(?:password|passwd|secret|token|credential)s?';

/** A cheap test before the expensive ones: most strings of an access log match nothing here. */
const suspicious = /[?&@]|authorization|cookie|bearer|basic|eyJ|passw|secret|token|credential/i;
// None of these backtracks over a long run: a client chooses the text of a request line.
const userinfo = /\b([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/?#"'<>]*@/gi;
const queryValue = /([?&;])([^=&;?\s"'<>]{1,128})=([^&;\s"'<>]*)/g;
/** `"token": "x"`, also inside a JSON string; ends at the quote that it began with. */
const quotedPair = new RegExp(
  String.raw`((?:${headerName}|${secretWord})(?:\\*["'])?\s*[:=]\s*)(\\*["'])(?:(?!\2)(?:\\[^]|[^\\]))*(\2)?`,
  'gi',
);
/** `Authorization: Basic x`: to the end of the line. */
const headerPair = new RegExp(String.raw`(${headerName})(\s*[:=]\s*)(?![\\"'])[^\r\n"']+`, 'gi');
/** `password=x`, `token: x` */
const plainPair = new RegExp(String.raw`(${secretWord})(\s*[:=]\s*)(?![\\"'])[^\s,;&"'}\]]+`, 'gi');
const scheme = /\b(bearer|basic)(\s+)(?!realm=)[^\s,;"']+/gi;
const webToken = /\beyJ[\w-]{5,}(?:\.[\w-]*)*/g;
/** Fields whose value is hidden whatever it is. */
export const secretField = new RegExp(`^(?:${headerName}|.*${secretWord})$`, 'i');

/** Errors: none; a text without a secret is returned as it is. */
export function redact(text: string): string {
  if (!suspicious.test(text)) return text;
  return text
    .replace(userinfo, `$1${hidden}@`)
    .replace(queryValue, (whole, mark: string, name: string) =>
      openQueryNames.has(name.toLowerCase()) ? whole : `${mark}${name}=${hidden}`,
    )
    .replace(quotedPair, `$1$2${hidden}$3`)
    .replace(headerPair, `$1$2${hidden}`)
    .replace(plainPair, `$1$2${hidden}`)
    .replace(scheme, `$1$2${hidden}`)
    .replace(webToken, hidden);
}

/** A value as it may be logged: strings redacted however deep, errors with code, cause and stack, secret fields hidden. */
export function redactValue(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return redact(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (depth > 6) return '[deep]';
  if (value instanceof Error) return describeError(value, depth);
  if (value instanceof URL) return redact(value.href);
  if (value instanceof Date) return value;
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (Array.isArray(value)) return value.map(item => redactValue(item, depth + 1));
  if (value instanceof Map) return redactFields(Object.fromEntries(value), depth + 1);
  if (value instanceof Set) return [...value].map(item => redactValue(item, depth + 1));
  return redactFields(Object.fromEntries(Object.entries(value)), depth + 1);
}

export function redactFields(fields: Readonly<Record<string, unknown>>, depth = 0): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    result[name] = typeof value === 'string' && secretField.test(name) ? hidden : redactValue(value, depth);
  }
  return result;
}

/** Own enumerable fields (code, syscall, upstream, failure …) stay: they say why. */
function describeError(error: Error, depth: number): Record<string, unknown> {
  const { cause, ...rest } = Object.fromEntries(Object.entries(error));
  const origin = error.cause ?? cause;
  return {
    type: error.name,
    message: redact(error.message),
    ...redactFields(rest, depth + 1),
    stack: redact(error.stack ?? ''),
    ...(origin === undefined ? {} : { cause: redactValue(origin, depth + 1) }),
  };
}
