/**
 * Where a connection goes. Names are resolved here, in the configured family; a destination other than the upstream's
 * own host and port is checked by the address that is really dialled, so neither a name nor a second look-up (DNS
 * rebinding) leads inside. Look-ups of one name are shared while they run: each holds a thread that the disk needs too.
 */

import { lookup as systemLookup } from 'node:dns/promises';
import { isIP, type LookupFunction, type Socket } from 'node:net';
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import type { buildConnector } from 'undici';
import { type AddressClass, bareHost, classifyAddress, classifyHost } from './address.ts';
import { buildConnector as build } from './undici-parts.ts';

export interface Address {
  readonly address: string;
  readonly family: number;
}

/** All addresses of a name, in the order in which to try them. `family` 0: both. Errors: as `dns.lookup`. */
export type Lookup = (hostname: string, family: 0 | 4 | 6) => Promise<readonly Address[]>;

export interface DialOptions {
  readonly url: URL;
  readonly ca: string | undefined;
  readonly insecure: boolean;
  readonly ip: 'any' | 4 | 6;
  readonly connectMs: number;
  readonly lookup?: Lookup | undefined;
}

/** A destination that must not be dialled; nothing was sent. The message names no query and no secret. */
export class DialRefusal extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'DialRefusal';
  }
}

/** Host and port, also where the URL leaves the port to its scheme. */
export function hostAndPort(url: URL): string {
  return `${bareHost(url.hostname)}:${url.port || (url.protocol === 'https:' ? '443' : '80')}`;
}

/** Marks errors of sockets that had given bytes before: the connection was reused, and the server had ended it. */
export type ReusedErrors = WeakSet<object>;

/** A connector for undici's agents. Errors: `DialRefusal` and what node:net and node:tls give, through the callback. */
export function createConnector(options: DialOptions, reused: ReusedErrors): buildConnector.connector {
  const own = hostAndPort(options.url);
  const ownClass = classifyHost(options.url.hostname);
  const mayDial = (address: string): boolean => isOpen(classifyAddress(address), ownClass);
  const lookup = shareLookups(options.lookup ?? lookUpBySystem);
  const family = options.ip === 'any' ? 0 : options.ip;
  const base = tlsOptions(options);
  const free = build({ ...base, lookup: adapt(lookup, family, () => true) });
  const guarded = build({ ...base, lookup: adapt(lookup, family, mayDial) });
  return (target, callback) => {
    const host = bareHost(target.hostname);
    const port = target.port || (target.protocol === 'https:' ? '443' : '80');
    const isOwn = `${host}:${port}` === own;
    if (!isOwn && isIP(host) !== 0 && !mayDial(host)) return callback(refuse(host, host), null);
    return (isOwn ? free : guarded)(target, watchReuse(callback, reused));
  };
}

/** How connections are made and whom they trust, for undici's connectors. */
export function tlsOptions({ connectMs, insecure, ca }: DialOptions) {
  return {
    timeout: connectMs,
    rejectUnauthorized: !insecure,
    ...(ca === undefined ? {} : { secureContext: trustAlso(ca) }),
  };
}

/**
 * The check that is left when a proxy resolves and dials: what a URL itself says (an address, `localhost`). A name that
 * resolves to something inside is the proxy's to refuse, whose network it is. Errors: `DialRefusal`.
 */
export function checkWrittenHost(target: URL, own: URL): void {
  if (hostAndPort(target) === hostAndPort(own)) return;
  const found = classifyHost(target.hostname);
  if (!isOpen(found, classifyHost(own.hostname)))
    throw new DialRefusal(`expected a public address, got ${bareHost(target.hostname)}, which is ${found}`);
}

function isOpen(found: AddressClass, ownClass: AddressClass): boolean {
  return found === 'public' || found === ownClass;
}

/**
 * Beside the public authorities: a private registry may redirect to a public store. Made once, because reading all of
 * them takes milliseconds. Errors: what node:tls says of a text that is no PEM.
 */
function trustAlso(ca: string): SecureContext {
  return createSecureContext({ ca: [...rootCertificates, ca] });
}

/** The same callback, for a socket whose errors after its first bytes are put into `reused`. */
export function watchReuse(callback: buildConnector.Callback, reused: ReusedErrors): buildConnector.Callback {
  return (...answer) => {
    if (answer[0] === null) watch(answer[1], reused);
    callback(...answer);
  };
}

function watch(socket: Socket, reused: ReusedErrors): void {
  socket.on('error', error => {
    if (socket.bytesRead > 0) reused.add(error);
  });
}

function refuse(hostname: string, address: string): DialRefusal {
  const where = hostname === address ? address : `${hostname} (${address})`;
  return new DialRefusal(`expected a public address, got ${where}, which is ${classifyAddress(address)}`);
}

/** node:net asks with `all` when it may try several addresses, and once without. */
function adapt(lookup: Lookup, family: 0 | 4 | 6, mayDial: (address: string) => boolean): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, family).then(
      found => {
        const allowed = found.filter(({ address }) => mayDial(address));
        const first = allowed[0];
        if (first === undefined) {
          const error = found[0] === undefined ? notFound(hostname) : refuse(hostname, found[0].address);
          callback(error, []);
        } else if (options.all === true) {
          callback(null, [...allowed]);
        } else {
          callback(null, first.address, first.family);
        }
      },
      (error: unknown) => callback(error instanceof Error ? error : notFound(hostname), []),
    );
  };
}

function notFound(hostname: string): Error {
  return Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND' });
}

function lookUpBySystem(hostname: string, family: 0 | 4 | 6): Promise<Address[]> {
  return systemLookup(hostname, { all: true, family });
}

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
