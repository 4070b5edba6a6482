/**
 * Who sent a request, for the log: the address of the connection, or, behind proxies that are trusted, the nearest
 * address of `X-Forwarded-For` that isn't one of them. What an untrusted peer claims is never believed.
 */
import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';

export type ClientAddress = (request: IncomingMessage) => string | undefined;

/** `trusted`: IP addresses and CIDR blocks. Errors: TypeError or RangeError for what is neither. */
export function clientAddressBehind(trusted: readonly string[]): ClientAddress {
  const proxies = new BlockList();
  for (const entry of trusted) addEntry(proxies, entry);
  return request => {
    const peer = plainAddress(request.socket.remoteAddress);
    if (trusted.length === 0 || peer === undefined || !holds(proxies, peer)) return peer;
    const claimed = [request.headers['x-forwarded-for'] ?? []].flat().join(',').split(',');
    let nearest = peer;
    for (const text of claimed.reverse()) {
      const address = plainAddress(text.trim());
      if (address === undefined) break; // a name or garbage: nothing beyond it can be trusted
      nearest = address;
      if (!holds(proxies, address)) break;
    }
    return nearest;
  };
}

function addEntry(list: BlockList, entry: string): void {
  const [address = '', prefix] = entry.split('/');
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  if (prefix === undefined) list.addAddress(address, family);
  else list.addSubnet(address, Number(prefix), family);
}

function holds(list: BlockList, address: string): boolean {
  return list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/** Without brackets, port, zone and the `::ffff:` of an IPv4 client on a dual-stack socket. Undefined: not an address. */
function plainAddress(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const plain = text.startsWith('::ffff:') ? text.slice(7) : text;
  if (isIP(plain) === 4) return plain; // nearly all: they need no more than this
  const bare = text
    .replace(/^\[([^\]]*)\](?::\d+)?$/, '$1')
    .replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1')
    .replace(/%.*$/, '')
    .replace(/^::ffff:(?=\d+\.)/i, '');
  return isIP(bare) === 0 ? undefined : bare;
}
