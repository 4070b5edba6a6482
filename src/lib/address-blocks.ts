/** A set of IP addresses and CIDR blocks, IPv4 and IPv6. An address of one family is never in a block of the other. */
import { BlockList, isIP } from 'node:net';

export class AddressBlocks {
  readonly #list = new BlockList();

  /** Errors: TypeError or RangeError for an entry that is neither an address nor a block. */
  constructor(entries: readonly string[]) {
    for (const entry of entries) this.#add(entry);
  }

  /** Text that is no IP address is in no block. */
  has(address: string): boolean {
    return isIP(address) !== 0 && this.#list.check(address, familyOf(address));
  }

  #add(entry: string): void {
    const [address = '', prefix] = entry.split('/');
    if (prefix === undefined) this.#list.addAddress(address, familyOf(address));
    else this.#list.addSubnet(address, Number(prefix), familyOf(address));
  }
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}
