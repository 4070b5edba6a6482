/**
 * Addresses and hosts as they stand in the configuration: where to listen, under which host an upstream is known,
 * which proxies are trusted. Pure checks; nothing is resolved or dialled.
 */
import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';
import type { ListenAddress } from './config.ts';
import { refusal } from './value-error.ts';

const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
const hostPattern = new RegExp(`^(?:${label}(?:\\.${label})*|\\[[0-9a-f:.]+\\])(?::[0-9]{1,5})?$`);

/** `[::]:5000`, `127.0.0.1:0`, `mirror.lan:5000`, `:5000` (every address). Errors: `ValueError`. */
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

/** A host with or without a port, in lower case. Errors: `ValueError`. */
export function parseHost(value: unknown): string {
  const host = typeof value === 'string' ? value.toLowerCase() : '';
  if (host.length > 255 || !hostPattern.test(host) || !isPortFine(host)) {
    throw refusal('a host such as example.org or localhost:5000', value);
  }
  return host;
}

/**
 * A host that clients can put in front of a repository: it has a dot or a port, or is `localhost`. Anything else
 * would be the first segment of a repository on Docker Hub. Errors: `ValueError`.
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

/** An IP address or a CIDR block that `node:net` BlockList takes. Errors: `ValueError`. */
export function parseAddressBlock(value: unknown): string {
  if (typeof value !== 'string' || !isAddressBlock(value)) {
    throw refusal('an IP address or a block such as 10.0.0.0/8', value);
  }
  return value;
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
