/**
 * Proxies on the way out: which one a URL is reached through, and the agent that goes through it. `https` targets are
 * reached by CONNECT (RFC 9110 9.3.6), plain `http` ones with their whole URL in the request line (RFC 9112 3.2.2),
 * because many proxies open tunnels to 443 only. The proxy resolves the names, and alone gets its credentials.
 */
import { BlockList, isIP, isIPv4 } from 'node:net';
import {
  bareHost,
  type ClientCertificate,
  type DialOptions,
  portOf,
  type ReusedErrors,
  tlsOptions,
  watchReuse,
} from './dial.ts';
import { type Connector, Pool, ProxyAgent } from './undici-parts.ts';

export interface ProxyOptions {
  /** http or https, userinfo allowed. For targets of that scheme; absent: reached directly. */
  readonly http?: URL;
  readonly https?: URL;
  /** As in NO_PROXY, one entry each. */
  readonly bypass: readonly string[];
}

/** Undefined: directly. */
export type ProxyChoice = (target: URL) => URL | undefined;

export function chooseProxy(options: ProxyOptions): ProxyChoice {
  const isDirect = parseBypass(options.bypass);
  return target => {
    const proxy = target.protocol === 'https:' ? options.https : options.http;
    return proxy === undefined || isDirect(target) ? undefined : proxy;
  };
}

export interface AgentOptions {
  /** At once, per host; null: any number. */
  readonly connections: number | null;
  readonly keepAliveTimeout: number;
  readonly headersTimeout: 0;
  readonly bodyTimeout: 0;
  readonly maxHeaderSize: number;
}

/** `dial` gives trust and deadlines as for direct connections; its look-ups are not used. `shown`: to the targets. */
export function createProxyAgent(
  proxy: URL,
  options: AgentOptions,
  dial: DialOptions,
  reused: ReusedErrors,
  shown: ClientCertificate | undefined,
): ProxyAgent {
  const { rejectUnauthorized: _upstreamOnly, ...proxyTls } = tlsOptions(dial);
  const token = basicOf(proxy);
  return new ProxyAgent({
    ...options,
    uri: proxy.origin,
    ...(token === undefined ? {} : { token }),
    proxyTunnel: false,
    requestTls: tlsOptions(dial, shown),
    proxyTls,
    // what waits for the tunnel waits for a connection: the same time
    clientFactory: (origin, given) => new Pool(origin, { ...given, headersTimeout: dial.connectMs }),
    factory: (origin, given) => new Pool(origin, { ...given, ...options, ...watchConnector(given, reused) }),
  });
}

function watchConnector(given: object, reused: ReusedErrors): { connect?: Connector } {
  const connect = 'connect' in given ? given.connect : undefined;
  if (!isConnector(connect)) return {};
  return { connect: (target, callback) => connect(target, watchReuse(callback, reused)) };
}

function isConnector(value: unknown): value is Connector {
  return typeof value === 'function';
}

/** RFC 9110 11.7.2, RFC 7617. */
function basicOf({ username, password }: URL): string | undefined {
  if (username === '' && password === '') return undefined;
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}

/** `host` and `port` as in a URL, the port with its default filled in. */
type BypassEntry = (host: string, port: string) => boolean;

/**
 * The hosts that are reached without a proxy: the entries of NO_PROXY as Go's clients (docker, containerd, podman) read
 * them. Nothing is resolved: blocks match addresses in URLs only.
 *
 * `*` all · `example.org` it and all below it · `.example.org`, `*.example.org` only what is below it · `10.0.0.1`,
 * `fd00::1` · `10.0.0.0/8`, `fd00::/8` · each but blocks with `:PORT` for that port alone. Other text matches nothing.
 */
export function parseBypass(entries: readonly string[]): (target: URL) => boolean {
  const parsed = entries.map(parseEntry);
  return target => {
    const host = bareHost(target.hostname).toLowerCase();
    const port = portOf(target);
    return parsed.some(matches => matches(host, port));
  };
}

function parseEntry(written: string): BypassEntry {
  const text = written.trim().toLowerCase();
  if (text === '*') return () => true;
  if (text.includes('/')) return parseBlock(text);
  const { host, port } = splitPort(text);
  const matches = isIP(host) === 0 ? matchName(host) : matchAddress(host);
  return (target, targetPort) => (port === undefined || port === targetPort) && matches(target);
}

function parseBlock(text: string): BypassEntry {
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
