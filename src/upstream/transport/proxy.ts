/**
 * Proxies on the way out: which one a URL is reached through, and the agent that goes through it. `https` targets are
 * reached by CONNECT (RFC 9110 9.3.6), plain `http` ones with their whole URL in the request line (RFC 9112 3.2.2),
 * because many proxies open tunnels to 443 only. The proxy's credentials go to the proxy and nowhere else.
 *
 * Behind a proxy names are the proxy's to resolve: the look-ups of `dial.ts` never see them.
 */
import type { buildConnector } from 'undici';
import { type DialOptions, type ReusedErrors, tlsOptions, watchReuse } from './dial.ts';
import { type Bypass, parseBypass } from './no-proxy.ts';
import { Pool, ProxyAgent } from './undici-parts.ts';

export interface ProxyOptions {
  /** http or https, userinfo allowed. For targets of that scheme; absent: reached directly. */
  readonly http?: URL;
  readonly https?: URL;
  /** As in NO_PROXY, one entry each. */
  readonly bypass: readonly string[];
}

/** Undefined: directly. */
export type ProxyChoice = (target: URL) => URL | undefined;

export function chooseProxy(options: ProxyOptions | undefined): ProxyChoice {
  if (options === undefined) return () => undefined;
  const isDirect: Bypass = parseBypass(options.bypass);
  return target => {
    const proxy = target.protocol === 'https:' ? options.https : options.http;
    return proxy === undefined || isDirect(target) ? undefined : proxy;
  };
}

export interface AgentOptions {
  /** At once, per host. */
  readonly connections: number;
  readonly keepAliveTimeout: number;
  readonly headersTimeout: 0;
  readonly bodyTimeout: 0;
}

/** `dial` trusts and hurries as for direct connections; its look-ups are not used. */
export function createProxyAgent(
  proxy: URL,
  lane: AgentOptions,
  dial: DialOptions,
  reused: ReusedErrors,
): ProxyAgent {
  const { rejectUnauthorized: _upstreamOnly, ...proxyTls } = tlsOptions(dial);
  const token = credentialsOf(proxy);
  return new ProxyAgent({
    ...lane,
    uri: proxy.origin,
    ...(token === undefined ? {} : { token }),
    proxyTunnel: false,
    requestTls: tlsOptions(dial),
    proxyTls,
    // what waits for the tunnel waits for a connection: the same time
    clientFactory: (origin, given) => new Pool(origin, { ...given, headersTimeout: dial.connectMs }),
    factory: (origin, given) => new Pool(origin, { ...given, ...lane, ...watched(given, reused) }),
  });
}

function watched(given: object, reused: ReusedErrors): { connect?: buildConnector.connector } {
  const connect = 'connect' in given ? given.connect : undefined;
  if (!isConnector(connect)) return {};
  return { connect: (target, callback) => connect(target, watchReuse(callback, reused)) };
}

function isConnector(value: unknown): value is buildConnector.connector {
  return typeof value === 'function';
}

/** RFC 9110 11.7.2, RFC 7617. */
function credentialsOf({ username, password }: URL): string | undefined {
  if (username === '' && password === '') return undefined;
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}
