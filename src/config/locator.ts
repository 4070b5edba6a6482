/** URLs, URL paths and repository patterns as they stand in the configuration. All throw `ValueError`. */
import { apiRoot } from '../oci/endpoint.ts';
import { refusal, ValueError } from './value-error.ts';

/** The first segments of the daemon's own pages. */
const takenSegments: ReadonlySet<string> = new Set(['v2', 'healthz', 'readyz', 'ui', 'api', 'token']);

/** `https://registry-1.docker.io`; a path is a prefix in front of the API. */
export function parseUpstreamUrl(value: unknown): URL {
  if (Array.isArray(value)) {
    throw refusal('one URL (this version has no list of fallbacks yet)', value);
  }
  const url = parseWebUrl(value);
  if (`${url.pathname}/`.includes(apiRoot)) {
    throw refusal(`the URL in front of ${apiRoot}, without it`, value);
  }
  return url;
}

/** `https://mirror.lan`, without a trailing slash. */
export function parsePublicUrl(value: unknown): string {
  return parseWebUrl(value).href.replace(/\/+$/, '');
}

export function parseMetricsPath(value: unknown): string {
  const path = typeof value === 'string' && /^(?:\/[\w.-]+)+$/.test(value) ? value : undefined;
  if (path === undefined) throw refusal('a path such as /metrics', value);
  if (takenSegments.has(path.split('/')[1] ?? ''))
    throw refusal('a path that nothing else is served under', value);
  return path;
}

/** `library/**`, `team/app-*`: `*` is anything but a slash, `**` anything. */
export function parsePattern(value: unknown): string {
  if (typeof value === 'string' && /^[a-z0-9*][a-z0-9._*-]*(?:\/[a-z0-9._*-]+)*$/.test(value)) return value;
  throw refusal('a pattern over repositories such as "library/**"', value);
}

function parseWebUrl(value: unknown): URL {
  const isWeb = typeof value === 'string' && /^https?:\/\//i.test(value) && URL.canParse(value);
  // what may hold a password isn't repeated in a message
  if (!isWeb && typeof value === 'string' && value.includes('@')) {
    throw new ValueError('expected a URL with http:// or https://, and without user and password');
  }
  if (!isWeb) throw refusal('a URL with http:// or https://', value);
  const url = new URL(value);
  if (url.username !== '' || url.password !== '') {
    throw new ValueError('expected a URL without user and password; they have keys of their own');
  }
  if (url.search !== '' || url.hash !== '') {
    throw new ValueError('expected a URL without query and fragment'); // not repeated: a query may be a signature
  }
  return url;
}
