/** URLs, URL paths and repository patterns as they stand in the configuration. All throw `ValueError`. */
import { apiRoot } from '../oci/endpoint.ts';
import { refusal, ValueError } from './value-error.ts';

/** The first segments of the daemon's own pages. */
const takenSegments: ReadonlySet<string> = new Set([
  'v2',
  'healthz',
  'readyz',
  'ui',
  'api',
  'token',
  'fleet',
]);

/** `https://registry-1.docker.io`; a path is a prefix in front of the API, `?ns=HOST` tells a mirror which registry. */
export function parseUpstreamUrl(value: unknown): URL {
  const url = parseWebUrl(value, isNamespace);
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

/** `docker.io/library/**`, `localhost:5000/**`, `**`: over names with their host. */
export function parseNamePattern(value: unknown): string {
  if (typeof value === 'string' && /^[a-z0-9*][a-z0-9._:*-]*(?:\/[a-z0-9._*-]+)*$/.test(value)) return value;
  throw refusal('a pattern over repositories with their host, such as "docker.io/library/**"', value);
}

/** Of one upstream: a URL, or `none` for no proxy whatever the environment says. */
export function parseProxySetting(value: unknown): URL | 'none' {
  return value === 'none' ? value : parseProxyUrl(value);
}

/** `http://proxy:3128`, `https://…`, with user and password if need be; as in HTTP_PROXY also `proxy:3128`. No message repeats it. */
export function parseProxyUrl(value: unknown): URL {
  const text =
    typeof value === 'string' && value !== '' && !value.includes('://') ? `http://${value}` : value;
  const url = typeof text === 'string' && URL.canParse(text) ? new URL(text) : undefined;
  const isBare = url !== undefined && url.pathname.length <= 1 && url.search === '' && url.hash === '';
  if (url === undefined || !isBare || !/^https?:$/.test(url.protocol) || !isDecodable(url)) {
    throw new ValueError('expected a proxy such as http://proxy.lan:3128 (http or https, no path)');
  }
  return url;
}

function isDecodable({ username, password }: URL): boolean {
  try {
    decodeURIComponent(username + password);
    return true;
  } catch {
    return false;
  }
}

/** `?ns=ghcr.io` (OCI distribution-spec "Registry Proxying"). */
function isNamespace(query: string): boolean {
  return /^\?ns=[a-z0-9.:-]+$/i.test(query);
}

function parseWebUrl(value: unknown, mayHaveQuery: (query: string) => boolean = () => false): URL {
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
  if ((url.search !== '' && !mayHaveQuery(url.search)) || url.hash !== '') {
    throw new ValueError('expected a URL without query and fragment'); // not repeated: a query may be a signature
  }
  return url;
}
