/**
 * The mirror as its clients have to know it: from its URL and its upstreams. The command line and the server describe it in the
 * same way, so that a page and a terminal show the same files.
 */
import type { MirrorForClients, UpstreamForClients } from './client-setup.ts';

/** As `HUB` of oci/name.ts, which browsers can't load: it computes digests. */
const hub = 'docker.io';

/** What of the configuration clients have to know. */
export interface DescribedUpstreams {
  readonly upstreams: ReadonlyMap<string, DescribedUpstream>;
  /** A key of `upstreams`. */
  readonly defaultUpstream?: string | undefined;
}

interface DescribedUpstream {
  readonly key: string;
  readonly aliases: readonly string[];
  /** Where the mirror goes, or where clients go without it. */
  readonly url: URL;
}

/** `url`: http or https, with nothing after the host. */
export function describeForClients(config: DescribedUpstreams, url: URL): MirrorForClients {
  return {
    url: url.origin,
    host: hostInNames(url),
    isPlainHttp: url.protocol === 'http:',
    isLoopback: isLoopbackHost(url.hostname),
    isIpv6: url.hostname.startsWith('['),
    upstreams: Array.from(config.upstreams.values(), describeUpstream),
    ...(config.defaultUpstream !== undefined && { defaultUpstream: config.defaultUpstream }),
  };
}

/** IPv6 with or without brackets. */
export function isLoopbackHost(host: string): boolean {
  return /^(?:127\.|localhost$|\[?::1\]?$)/.test(host);
}

/** A first segment without a dot or a port would be a repository of Docker Hub. */
function hostInNames(url: URL): string {
  if (url.port !== '') return url.host;
  if (url.protocol === 'http:') return `${url.host}:80`;
  return url.host.includes('.') || url.host === 'localhost' ? url.host : `${url.host}:443`;
}

function describeUpstream({ key, aliases, url }: DescribedUpstream): UpstreamForClients {
  return {
    key,
    segment: [key, ...aliases].find(name => !name.includes(':')),
    directUrl: directUrl(key, url),
    isHub: key === hub,
  };
}

function directUrl(key: string, url: URL): string {
  if (key === hub) return `https://registry-1.${hub}`;
  return url.host === key ? url.origin : `https://${key}`;
}
