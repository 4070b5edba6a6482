/**
 * The URL by which clients know the mirror: what the user says, else `http.public_url`, else what it listens on; where
 * that is every address of the machine, the list of network interfaces gives a guess. Nothing is resolved or dialled.
 */
import type { NetworkInterfaceInfo } from 'node:os';
import { isLoopbackHost } from '../../clients/mirror-description.ts';
import { formatListenAddress } from '../../config/address.ts';
import type { HttpConfig, ListenerConfig } from '../../config/config.ts';
import { ConfigError } from '../../config/problem.ts';

export type NetworkInterfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

export interface MirrorUrlOptions {
  /** `--url`. */
  readonly given: string | undefined;
  readonly http: HttpConfig;
  /** As `os.networkInterfaces()` gives them. */
  readonly interfaces: () => NetworkInterfaces;
}

export interface MirrorUrl {
  /** http or https, with nothing after the host. */
  readonly url: URL;
  readonly isGuess: boolean;
}

const wildcards: ReadonlySet<string> = new Set(['::', '0.0.0.0', '::0', '0:0:0:0:0:0:0:0']);
const hostPattern = /^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])$/;
/** Bridges and tunnels of containers and virtual machines: only this machine reaches their addresses. */
const innerInterface =
  /^(?:docker|br-|veth|virbr|vnet|cni|flannel|cali|cilium|kube|podman|lxc|lxd|incus|vmnet|vboxnet|tun|tap|wg|tailscale|zt|dummy)/;

/** Errors: `ConfigError` for a URL that clients can't use, and when there is none to be found. */
export function findMirrorUrl({ given, http, interfaces }: MirrorUrlOptions): MirrorUrl {
  if (given !== undefined) return { url: parseClientUrl(given, '--url'), isGuess: false };
  if (http.publicUrl !== undefined)
    return { url: parseClientUrl(http.publicUrl, 'http.public_url'), isGuess: false };
  const listens = http.listen.filter(({ port }) => port !== 0);
  const named = listens.filter(({ host }) => !wildcards.has(host));
  const outer = named.find(({ host }) => !isLoopbackHost(host));
  if (outer !== undefined) return { url: urlOf(outer), isGuess: false };
  const wildcard = listens.find(({ host }) => wildcards.has(host));
  const guess = wildcard === undefined ? undefined : guessAddress(interfaces(), wildcard.host === '0.0.0.0');
  if (wildcard !== undefined && guess !== undefined)
    return { url: urlOf({ ...wildcard, host: guess }), isGuess: true };
  const [loopback] = named;
  if (loopback !== undefined) return { url: urlOf(loopback), isGuess: false };
  throw refuse(
    '--url',
    'needed (http://NAME:PORT), because http.listen does not tell how clients reach this mirror',
  );
}

/** The first address of the machine that other machines may reach, IPv4 before IPv6. */
function guessAddress(interfaces: NetworkInterfaces, onlyIpv4: boolean): string | undefined {
  const outer = Object.entries(interfaces)
    .filter(([name]) => !innerInterface.test(name))
    .flatMap(([, addresses]) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !/^(?:fe[89ab]|169\.254\.)/i.test(address));
  const ipv4 = outer.find(({ family }) => family === 'IPv4');
  return (ipv4 ?? (onlyIpv4 ? undefined : outer[0]))?.address;
}

/** Errors: `ConfigError`, which doesn't repeat what may hold a password. */
function parseClientUrl(text: string, origin: string): URL {
  const url = /^https?:\/\//i.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  const isBare = url !== undefined && url.href === `${url.origin}/` && hostPattern.test(url.hostname);
  if (isBare) return url;
  const got = text.includes('@') ? '' : `, got ${text.slice(0, 200)}`;
  throw refuse(
    origin,
    `expected a URL such as http://mirror.lan:5000 (http or https, and no path: clients take none)${got}`,
  );
}

function urlOf(address: ListenerConfig): URL {
  return new URL(`${address.tls === true ? 'https' : 'http'}://${formatListenAddress(address)}`);
}

function refuse(origin: string, message: string): ConfigError {
  return new ConfigError([{ origin, path: '', message }]);
}
