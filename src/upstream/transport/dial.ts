/**
 * Which destinations may be dialled. Names are resolved here, in the configured family. A destination other than the
 * upstream's own host and port is checked by the address that is dialled, so neither a name nor a second look-up (DNS
 * rebinding) reaches this machine, or the link-local addresses where clouds hand out credentials.
 */
import { lookup as systemLookup } from 'node:dns/promises';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import { buildConnector, type Connector, type ConnectorCallback } from './undici-parts.ts';

export interface Address {
  readonly address: string;
  readonly family: number;
}

/** All addresses of a name, in the order in which to try them. `family` 0: both. Errors: as `dns.lookup`. */
export type Lookup = (hostname: string, family: 0 | 4 | 6) => Promise<readonly Address[]>;

/** PEM texts. */
export interface ClientCertificate {
  readonly certificate: string;
  readonly key: string;
}

export interface DialOptions {
  /** The upstream's own. */
  readonly url: URL;
  /** Shown to the upstream's own host and port alone. */
  readonly clientCertificate: ClientCertificate | undefined;
  readonly ca: string | undefined;
  readonly insecure: boolean;
  readonly ip: 'any' | 4 | 6;
  readonly connectMs: number;
  readonly lookup: Lookup | undefined;
}

/** A destination that must not be dialled; nothing was sent. The message names no query and no secret. */
export class DialRefusal extends Error {
  override readonly name = 'DialRefusal';
}

/** Errors of sockets that had received bytes before: the server may just have ended a connection that was reused. */
export type ReusedErrors = WeakSet<object>;

/** An upstream that is configured at an address of one class opens that class for its redirects, not the other one. */
export type AddressClass = 'loopback' | 'link-local' | 'other';

/** A connector for undici's agents. Errors: `DialRefusal` and what node:net and node:tls give, through the callback. */
export function createConnector(options: DialOptions, reused: ReusedErrors): Connector {
  const own = hostAndPort(options.url);
  const ownClass = classifyHost(options.url.hostname);
  const mayDial = (address: string): boolean => isAllowed(classifyAddress(address), ownClass);
  const lookup = shareLookups(options.lookup ?? lookUpBySystem);
  const family = options.ip === 'any' ? 0 : options.ip;
  const base = tlsOptions(options);
  const ownTls = tlsOptions(options, options.clientCertificate);
  const unchecked = buildConnector({ ...ownTls, lookup: adaptLookup(lookup, family, () => true) });
  const checked = buildConnector({ ...base, lookup: adaptLookup(lookup, family, mayDial) });
  return (target, callback) => {
    const host = bareHost(target.hostname);
    const isOwn = `${host}:${portOf(target)}` === own;
    if (!isOwn && isIP(host) !== 0 && !mayDial(host)) return callback(refuse(host, host), null);
    return (isOwn ? unchecked : checked)(target, watchReuse(callback, reused));
  };
}

/** How connections are made and which certificates they trust, for undici's connectors. `shown`: the client's own. */
export function tlsOptions({ connectMs, insecure, ca }: DialOptions, shown?: ClientCertificate) {
  return {
    timeout: connectMs,
    rejectUnauthorized: !insecure,
    ...(ca === undefined && shown === undefined ? {} : { secureContext: createContext(ca, shown) }),
  };
}

/**
 * `ca` is trusted beside the public authorities: a private registry may redirect to a public store. Made once, because
 * reading all of them takes milliseconds. Errors: what node:tls says of a text that is no PEM.
 */
function createContext(ca: string | undefined, shown: ClientCertificate | undefined): SecureContext {
  return createSecureContext({
    ...(ca === undefined ? {} : { ca: [...rootCertificates, ca] }),
    ...(shown === undefined ? {} : { cert: shown.certificate, key: shown.key }),
  });
}

/**
 * The check for targets that a proxy resolves and dials: only what the URL itself says (an address, `localhost`). A
 * name that resolves to an inside address is the proxy's to refuse. Errors: `DialRefusal`.
 */
export function checkWrittenHost(target: URL, own: URL): void {
  if (hostAndPort(target) === hostAndPort(own)) return;
  const found = classifyHost(target.hostname);
  if (!isAllowed(found, classifyHost(own.hostname)))
    throw new DialRefusal(`${bareHost(target.hostname)} is ${found} and is not dialled`);
}

function isAllowed(found: AddressClass, ownClass: AddressClass): boolean {
  return found === 'other' || found === ownClass;
}

function refuse(hostname: string, address: string): DialRefusal {
  const where = hostname === address ? address : `${hostname} (${address})`;
  return new DialRefusal(`${where} is ${classifyAddress(address)} and is not dialled`);
}

/** The same callback, for a socket whose errors after its first bytes are put into `reused`. */
export function watchReuse(callback: ConnectorCallback, reused: ReusedErrors): ConnectorCallback {
  return (...answer) => {
    const [, socket] = answer;
    socket?.on('error', error => {
      if (socket.bytesRead > 0) reused.add(error);
    });
    callback(...answer);
  };
}

/** node:net asks with `all` when it may try several addresses, and once without. */
function adaptLookup(
  lookup: Lookup,
  family: 0 | 4 | 6,
  mayDial: (address: string) => boolean,
): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, family).then(
      found => {
        const allowed = found.filter(({ address }) => mayDial(address));
        const first = allowed[0];
        if (first === undefined) {
          const error =
            found[0] === undefined ? createNotFound(hostname) : refuse(hostname, found[0].address);
          callback(error, []);
        } else if (options.all === true) {
          callback(null, [...allowed]);
        } else {
          callback(null, first.address, first.family);
        }
      },
      (error: unknown) => callback(error instanceof Error ? error : createNotFound(hostname), []),
    );
  };
}

function createNotFound(hostname: string): Error {
  return Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND' });
}

function lookUpBySystem(hostname: string, family: 0 | 4 | 6): Promise<Address[]> {
  return systemLookup(hostname, { all: true, family });
}

/** Callers share a look-up that runs: each holds a thread of the pool that the disk needs too. */
function shareLookups(lookup: Lookup): Lookup {
  const running = new Map<string, Promise<readonly Address[]>>();
  return (hostname, family) => {
    const known = running.get(hostname);
    if (known !== undefined) return known;
    const started = lookup(hostname, family).finally(() => running.delete(hostname));
    running.set(hostname, started);
    return started;
  };
}

/** Host and port, also where the URL leaves the port to its scheme. */
export function hostAndPort(url: URL): string {
  return `${bareHost(url.hostname)}:${portOf(url)}`;
}

/** The scheme's default where the URL names none. */
export function portOf({ port, protocol }: { readonly port: string; readonly protocol: string }): string {
  return port || (protocol === 'https:' ? '443' : '80');
}

/** `URL.hostname` keeps the brackets of IPv6. */
export function bareHost(hostname: string): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
}

/** Of the host of a configured URL, where `localhost` stands for the address it is meant to be. */
export function classifyHost(hostname: string): AddressClass {
  const bare = bareHost(hostname);
  return bare === 'localhost' || bare.endsWith('.localhost') ? 'loopback' : classifyAddress(bare);
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addSubnet('0.0.0.0', 8, 'ipv4'); // "this host": Linux connects to itself
loopback.addAddress('::1', 'ipv6');
loopback.addAddress('::', 'ipv6');
const linkLocal = new BlockList();
linkLocal.addSubnet('169.254.0.0', 16, 'ipv4'); // metadata of AWS, Azure, Google and others is in it
linkLocal.addAddress('100.100.100.200', 'ipv4'); // Alibaba
linkLocal.addAddress('192.0.0.192', 'ipv4'); // Oracle
linkLocal.addAddress('168.63.129.16', 'ipv4'); // Azure: what it tells a machine, certificates among it
linkLocal.addSubnet('fe80::', 10, 'ipv6');
linkLocal.addAddress('fd00:ec2::254', 'ipv6'); // AWS
linkLocal.addAddress('fd20:ce::254', 'ipv6'); // Google

/** `address`: an IP address without brackets. A name is `other`: the addresses it resolves to have to be classified. */
export function classifyAddress(address: string): AddressClass {
  const family = isIP(address);
  if (family === 0) return 'other';
  const text = family === 4 ? address : (embeddedIpv4(address) ?? address);
  const type = isIP(text) === 4 ? 'ipv4' : 'ipv6';
  if (loopback.check(text, type)) return 'loopback';
  return linkLocal.check(text, type) ? 'link-local' : 'other';
}

/** Prefixes that carry an IPv4 address in their last 32 bits: mapped, compatible, NAT64. */
const embeddingPattern = /^(?:::ffff:|::ffff:0:|::|64:ff9b::)([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;
/** 6to4 carries it in bits 16 to 48. */
const sixToFourPattern = /^2002:([0-9a-f]{1,4}):([0-9a-f]{1,4})(?::|$)/;

function embeddedIpv4(address: string): string | undefined {
  const compressed = bareHost(new URL(`http://[${address.replace(/%.*$/, '')}]/`).hostname);
  const match = embeddingPattern.exec(compressed) ?? sixToFourPattern.exec(compressed);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  const high = Number.parseInt(match[1], 16);
  const low = Number.parseInt(match[2], 16);
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}
