/**
 * The client's address: that of the connection, or, with trusted proxies, the nearest address of `X-Forwarded-For` that is
 * not a trusted proxy. The header of an untrusted peer is ignored.
 */
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { AddressBlocks } from '../../lib/address-blocks.ts';

export type ClientAddress = (request: IncomingMessage) => string | undefined;

/** `trusted`: IP addresses and CIDR blocks. Errors: TypeError or RangeError for an entry that is neither. */
export function clientAddressBehind(trusted: readonly string[]): ClientAddress {
  const proxies = new AddressBlocks(trusted);
  return request => {
    const peer = plainAddress(request.socket.remoteAddress);
    if (trusted.length === 0 || peer === undefined || !proxies.has(peer)) return peer;
    const claimed = [request.headers['x-forwarded-for'] ?? []].flat().join(',').split(',');
    let nearest = peer;
    for (const text of claimed.reverse()) {
      const address = plainAddress(text.trim());
      if (address === undefined) break; // no address: nothing beyond it can be trusted
      nearest = address;
      if (!proxies.has(address)) break;
    }
    return nearest;
  };
}

/** Without brackets, port, zone and the `::ffff:` of an IPv4 client on a dual-stack socket. Undefined: not an address. */
function plainAddress(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const plain = text.startsWith('::ffff:') ? text.slice(7) : text;
  if (isIP(plain) === 4) return plain; // nearly all
  const bare = text
    .replace(/^\[([^\]]*)\](?::\d+)?$/, '$1')
    .replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1')
    .replace(/%.*$/, '')
    .replace(/^::ffff:(?=\d+\.)/i, '');
  return isIP(bare) === 0 ? undefined : bare;
}
