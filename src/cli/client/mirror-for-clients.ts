/** The configuration as clients have to know it: one URL, and for each upstream what it is called in image names. */
import type { Config, UpstreamConfig } from '../../config/config.ts';
import { HUB, isRepository } from '../../oci/name.ts';
import type { MirrorForClients, UpstreamForClients } from './client-setup.ts';
import { isLoopbackHost } from './mirror-url.ts';

/** `url`: http or https, with nothing after the host. */
export function describeForClients(
  config: Pick<Config, 'upstreams' | 'defaultUpstream'>,
  url: URL,
): MirrorForClients {
  return {
    url: url.origin,
    host: hostInNames(url),
    isPlainHttp: url.protocol === 'http:',
    isLoopback: isLoopbackHost(url.hostname),
    isIpv6: url.hostname.startsWith('['),
    upstreams: [...config.upstreams.values()].map(describeUpstream),
    defaultUpstream: config.defaultUpstream,
  };
}

/** A first segment without a dot or a port would be a repository of Docker Hub. */
function hostInNames(url: URL): string {
  if (url.port !== '') return url.host;
  if (url.protocol === 'http:') return `${url.host}:80`;
  return url.host.includes('.') || url.host === 'localhost' ? url.host : `${url.host}:443`;
}

function describeUpstream({ key, aliases, url }: UpstreamConfig): UpstreamForClients {
  return { key, segment: [key, ...aliases].find(isRepository), directUrl: directUrl(key, url) };
}

function directUrl(key: string, url: URL): string {
  if (key === HUB) return `https://registry-1.${HUB}`;
  return url.host === key ? url.origin : `https://${key}`;
}
