/**
 * Which addresses no redirect and no token realm may lead to: this machine itself, and the link-local world with the
 * clouds' metadata services, whose answers are credentials. An upstream that is configured at such an address opens its
 * own class, not the other one.
 */
import { BlockList, isIP } from 'node:net';

export type AddressClass = 'public' | 'loopback' | 'link-local';

interface Lists {
  readonly loopback: BlockList;
  readonly linkLocal: BlockList;
}

/** Prefixes that carry an IPv4 address in their last 32 bits: mapped, compatible, NAT64. */
const embeddingPattern = /^(?:::ffff:|::ffff:0:|::|64:ff9b::)([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;
/** 6to4 carries it in bits 16 to 48. */
const sixToFourPattern = /^2002:([0-9a-f]{1,4}):([0-9a-f]{1,4})(?::|$)/;

function buildLists(): Lists {
  const loopback = new BlockList();
  loopback.addSubnet('127.0.0.0', 8, 'ipv4');
  loopback.addSubnet('0.0.0.0', 8, 'ipv4'); // "this host": Linux connects to itself
  loopback.addAddress('::1', 'ipv6');
  loopback.addAddress('::', 'ipv6');
  const linkLocal = new BlockList();
  linkLocal.addSubnet('169.254.0.0', 16, 'ipv4'); // metadata of AWS, Azure, Google and others is in it
  linkLocal.addAddress('100.100.100.200', 'ipv4'); // Alibaba
  linkLocal.addAddress('192.0.0.192', 'ipv4'); // Oracle
  linkLocal.addSubnet('fe80::', 10, 'ipv6');
  linkLocal.addAddress('fd00:ec2::254', 'ipv6'); // AWS
  linkLocal.addAddress('fd20:ce::254', 'ipv6'); // Google
  return { loopback, linkLocal };
}

const lists = buildLists();

/** `address`: an IP address without brackets. A name is `public`: what it resolves to has to be asked about. */
export function classifyAddress(address: string): AddressClass {
  const family = isIP(address);
  if (family === 0) return 'public';
  const text = family === 4 ? address : (embeddedIpv4(address) ?? address);
  const type = isIP(text) === 4 ? 'ipv4' : 'ipv6';
  if (lists.loopback.check(text, type)) return 'loopback';
  return lists.linkLocal.check(text, type) ? 'link-local' : 'public';
}

/** Of the host of a configured URL, where `localhost` stands for the address it is meant to be. */
export function classifyHost(hostname: string): AddressClass {
  const bare = bareHost(hostname);
  return bare === 'localhost' || bare.endsWith('.localhost') ? 'loopback' : classifyAddress(bare);
}

/** `URL.hostname` keeps the brackets of IPv6. */
export function bareHost(hostname: string): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
}

function embeddedIpv4(address: string): string | undefined {
  const compressed = bareHost(new URL(`http://[${address.replace(/%.*$/, '')}]/`).hostname);
  const match = embeddingPattern.exec(compressed) ?? sixToFourPattern.exec(compressed);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  const high = Number.parseInt(match[1], 16);
  const low = Number.parseInt(match[2], 16);
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}
