/** The hosts and addresses that a certificate of the mirror's own has to be for: all under which a client may reach it. */
import { isIP } from 'node:net';
import type { NetworkInterfaceInfo } from 'node:os';

export interface OwnHostsOptions {
  readonly publicUrl?: string | undefined;
  /** `http.names`: with or without a port. */
  readonly names: readonly string[];
  readonly listen: readonly { readonly host: string }[];
  readonly hostname: string;
  /** As `os.networkInterfaces()` gives them. */
  readonly interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;
}

const wildcards: ReadonlySet<string> = new Set(['::', '0.0.0.0']);
const hostPattern = /^[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9])?$/;

/** In lower case, without ports and brackets; never empty. */
export function listOwnHosts({
  publicUrl,
  names,
  listen,
  hostname,
  interfaces,
}: OwnHostsOptions): readonly string[] {
  const isEverywhere = listen.some(({ host }) => wildcards.has(host));
  const addresses = Object.values(interfaces).flatMap(found => found ?? []);
  const hosts = [
    'localhost',
    '127.0.0.1',
    '::1',
    hostname,
    ...(publicUrl === undefined ? [] : [new URL(publicUrl).hostname]),
    ...names.map(name => new URL(`http://${name}`).hostname),
    ...listen.map(({ host }) => host).filter(host => !wildcards.has(host)),
    ...(isEverywhere ? addresses.map(({ address }) => address) : []),
  ].map(host => host.toLowerCase().replace(/^\[(.*)\]$/, '$1'));
  // The address of a link has a zone, which no certificate can name.
  return [...new Set(hosts)].filter(host =>
    isIP(host) === 0 ? hostPattern.test(host) : !/^fe[89ab]|%/.test(host),
  );
}
