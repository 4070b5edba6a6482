/**
 * Parses the addresses, hosts, URLs and repository patterns of a configuration. All parsers throw `ValueError`.
 * Nothing is resolved or dialled.
 */
import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';
import { apiRoot } from '../oci/endpoint.ts';
import { isRepository } from '../oci/name.ts';
import type { ListenAddress } from './config.ts';
import { refusal, ValueError } from './problem.ts';

const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
const hostPattern = new RegExp(`^(?:${label}(?:\\.${label})*|\\[[0-9a-f:.]+\\])(?::[0-9]{1,5})?$`);

/** The first segments of the daemon's own pages. */
const takenSegments: ReadonlySet<string> = new Set([
  'v2',
  'healthz',
  'readyz',
  'ui',
  'api',
  'token',
  'ca.pem',
  'fleet',
]);

/** `[::]:5000`, `127.0.0.1:0`, `mirror.lan:5000`, `:5000` (every address). */
export function parseListenAddress(value: unknown): ListenAddress {
  const match = typeof value === 'string' ? /^(?:\[([^\]]+)\]|([^[\]:/\s]*)):(\d{1,5})$/.exec(value) : null;
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2]?.toLowerCase();
  if (match === null || host === undefined || port > 65535 || !isListenHost(host, match[1] !== undefined)) {
    throw refusal('an address such as "[::]:5000", "127.0.0.1:5000" or ":5000"', value);
  }
  return { host: host === '' ? '::' : host, port };
}

/** The inverse of `parseListenAddress`. */
export function formatListenAddress({ host, port }: ListenAddress): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

/** A host with or without a port, in lower case. */
export function parseHost(value: unknown): string {
  const host = typeof value === 'string' ? value.toLowerCase() : '';
  if (host.length > 255 || !hostPattern.test(host) || !isPortFine(host)) {
    throw refusal('a host such as example.org or localhost:5000', value);
  }
  return host;
}

/**
 * A host that clients can put in front of a repository: it has a dot or a port, or is `localhost`. Anything else
 * would be the first segment of a repository on Docker Hub.
 */
export function parseRegistryHost(value: unknown): string {
  const expected = 'a host as it stands in image names, such as ghcr.io or registry:5000';
  if (typeof value === 'string' && value.includes('/')) {
    throw refusal(`${expected} (without scheme and path; those belong under url)`, value);
  }
  const host = parseHost(value);
  if (!/[.:]/.test(host) && host !== 'localhost') throw refusal(`${expected} (with a dot or a port)`, value);
  return host;
}

/** An IP address or a CIDR block that `node:net` BlockList takes. */
export function parseAddressBlock(value: unknown): string {
  if (typeof value !== 'string' || !isAddressBlock(value)) {
    throw refusal('an IP address or a block such as 10.0.0.0/8', value);
  }
  return value;
}

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

/** `X-Accel-Redirect`: a header of an answer. */
export function parseHeaderName(value: unknown): string {
  if (typeof value === 'string' && /^[A-Za-z][A-Za-z0-9-]{0,63}$/.test(value)) return value;
  throw refusal('the name of a header, such as X-Accel-Redirect', value);
}

/** `/_blobs/`: a path of the proxy in front, with a slash at both ends. */
export function parseFolderPath(value: unknown): string {
  const path = typeof value === 'string' && /^\/(?:[\w-][\w.-]*\/)+$/.test(value) ? value : undefined;
  if (path === undefined || takenSegments.has(path.split('/')[1] ?? ''))
    throw refusal('a path of its own with a slash at both ends, such as /_blobs/', value);
  return path;
}

/** `library/**`, `team/app-*`: `*` is anything but a slash, `**` anything. */
export function parsePattern(value: unknown): string {
  if (typeof value === 'string' && /^[a-z0-9*][a-z0-9._*-]*(?:\/[a-z0-9._*-]+)*$/.test(value)) return value;
  throw refusal('a pattern over repositories such as "library/**"', value);
}

/** `team-proxy`, `docker-remote/hub`: what stands before repositories at an upstream. */
export function parsePrefix(value: unknown): string {
  if (typeof value === 'string' && isRepository(value)) return value;
  throw refusal('the path before the repositories, without slashes at its ends, such as team-proxy', value);
}

/** `docker.io/library/**`, `localhost:5000/**`, `**`: over names with their host. */
export function parseNamePattern(value: unknown): string {
  if (typeof value === 'string' && /^[a-z0-9*][a-z0-9._:*-]*(?:\/[a-z0-9._*-]+)*$/.test(value)) return value;
  throw refusal('a pattern over repositories with their host, such as "docker.io/library/**"', value);
}

/** `v*.*.*`, `latest`: over tags. */
export function parseTagPattern(value: unknown): string {
  if (typeof value === 'string' && /^[A-Za-z0-9_*][A-Za-z0-9._*-]{0,127}$/.test(value)) return value;
  throw refusal('a pattern over tags such as "v*.*.*"', value);
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

function isListenHost(host: string, bracketed: boolean): boolean {
  if (bracketed) return isIPv6(host);
  return host === '' || isIPv4(host) || (hostPattern.test(host) && !/^[0-9.]+$/.test(host));
}

function isPortFine(host: string): boolean {
  const port = /:([0-9]+)$/.exec(host.replace(/^\[.*\]/, ''))?.[1];
  const address = /^\[(.*)\]/.exec(host)?.[1];
  return (
    (port === undefined || (Number(port) >= 1 && Number(port) <= 65535)) &&
    (address === undefined || isIPv6(address))
  );
}

function isAddressBlock(text: string): boolean {
  const [, address = '', prefix] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  if (isIP(address) === 0 || address.includes('%')) return false; // a block has no zone
  const family = isIPv4(address) ? 'ipv4' : 'ipv6';
  try {
    const list = new BlockList();
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
    return true;
  } catch {
    return false; // a prefix out of range
  }
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
