/**
 * Which hosts are reached without a proxy: the entries of NO_PROXY as Go's clients (docker, containerd, podman) read
 * them, so that one setting means the same to all of them. Nothing is resolved: blocks match addresses in URLs only.
 *
 * `*` all · `example.org` it and all below it · `.example.org`, `*.example.org` only what is below it · `10.0.0.1`,
 * `fd00::1` · `10.0.0.0/8`, `fd00::/8` · each but blocks with `:PORT` for that port alone. Other text matches nothing.
 */
import { BlockList, isIP, isIPv4 } from 'node:net';
import { bareHost } from './address.ts';

/** `host` and `port` as in a URL, the port with its default filled in. */
type Entry = (host: string, port: string) => boolean;

export type Bypass = (target: URL) => boolean;

export function parseBypass(entries: readonly string[]): Bypass {
  const parsed = entries.map(parseEntry);
  return target => {
    const host = bareHost(target.hostname).toLowerCase();
    const port = target.port || (target.protocol === 'https:' ? '443' : '80');
    return parsed.some(matches => matches(host, port));
  };
}

function parseEntry(written: string): Entry {
  const text = written.trim().toLowerCase();
  if (text === '*') return () => true;
  if (text.includes('/')) return parseBlock(text);
  const { host, port } = splitPort(text);
  const matches = isIP(host) === 0 ? matchName(host) : matchAddress(host);
  return (target, targetPort) => (port === undefined || port === targetPort) && matches(target);
}

function parseBlock(text: string): Entry {
  const [, address = '', prefix = ''] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const bits = Number(prefix);
  if (isIP(address) === 0 || prefix === '' || bits > (isIPv4(address) ? 32 : 128)) return () => false;
  const block = new BlockList();
  block.addSubnet(address, bits, familyOf(address));
  return host => isIP(host) !== 0 && block.check(host, familyOf(host));
}

/** Through a list, because IPv6 has many spellings of one address. */
function matchAddress(address: string): (host: string) => boolean {
  const list = new BlockList();
  list.addAddress(address, familyOf(address));
  return host => isIP(host) !== 0 && list.check(host, familyOf(host));
}

function matchName(written: string): (host: string) => boolean {
  const name = written.replace(/^\*\./, '.').replace(/(?<=[^.])\.$/, '');
  if (name === '' || name === '.') return () => false;
  if (name.startsWith('.')) return host => isIP(host) === 0 && host.endsWith(name);
  return host => host === name || (isIP(host) === 0 && host.endsWith(`.${name}`));
}

function splitPort(text: string): { readonly host: string; readonly port: string | undefined } {
  const bracketed = /^\[([^\]]*)\](?::(\d{1,5}))?$/.exec(text);
  if (bracketed !== null) return { host: bracketed[1] ?? '', port: bracketed[2] };
  if (isIP(text) !== 0) return { host: text, port: undefined };
  const named = /^([^:]*):(\d{1,5})$/.exec(text);
  return named === null ? { host: text, port: undefined } : { host: named[1] ?? '', port: named[2] };
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv4(address) ? 'ipv4' : 'ipv6';
}
