/** How names of images without a host, or with an alias of one, are read: as the configuration has it. */
import type { ImageHosts } from '../admin/image-name.ts';
import type { Config } from '../config/config.ts';
import { canonicalHost } from '../oci/name.ts';

export function imageHostsOf({ upstreams, defaultUpstream, http }: Config): ImageHosts {
  const keys = new Map<string, string>();
  for (const { key, aliases } of upstreams.values()) {
    for (const name of [key, ...aliases]) keys.set(canonicalHost(name), key);
  }
  return { keys, fallback: defaultUpstream, own: ownHosts(http) };
}

/** As they stand in image names: with the port. */
function ownHosts({ publicUrl, names, listen }: Config['http']): ReadonlySet<string> {
  const local = listen.flatMap(({ host, port }) => [
    `localhost:${port}`,
    `127.0.0.1:${port}`,
    `${host.toLowerCase()}:${port}`,
  ]);
  return new Set([...local, ...names, ...(publicUrl === undefined ? [] : [new URL(publicUrl).host])]);
}
