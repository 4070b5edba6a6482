/**
 * What a configuration may say and its author hardly means: a size without a unit, `~`, Docker Hub's web site as its
 * registry, an upstream that is this mirror. None of it stops the start.
 */
import { HUB } from '../../oci/name.ts';
import type { Config } from '../config.ts';
import { isSection, type Path, valueAt } from '../problem.ts';

/** Where, and what is to be said. */
export type Remark = readonly [Path, string];

const sizes: readonly Path[] = [
  ['store', 'max_size'],
  ['store', 'min_free'],
];

/** They show pages to people and answer no registry client. */
const hubSites: ReadonlySet<string> = new Set([
  'docker.io',
  'docker.com',
  'www.docker.com',
  'hub.docker.com',
]);
/** Names of Docker Hub that no image name has. */
const hubNames: ReadonlySet<string> = new Set([
  'hub.docker.com',
  'docker.com',
  'registry.hub.docker.com',
  'registry.docker.io',
]);

/** `tree`: of the file, with the environment's values in it. */
export function findSurprises(tree: unknown): readonly Remark[] {
  const remarks: Remark[] = [];
  for (const path of sizes) {
    const value = valueAt(tree, path);
    const bytes = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
    if (typeof bytes !== 'number' || bytes === 0) continue;
    remarks.push([path, `${bytes} without a unit means ${bytes} bytes; write a unit, such as ${bytes}GiB`]);
  }
  const storePath = valueAt(tree, ['store', 'path']);
  if (isHome(storePath)) remarks.push([['store', 'path'], `~ is not expanded here; ${homeHint}`]);
  const proxies = valueAt(tree, ['http', 'trusted_proxies']);
  if (isSection(valueAt(tree, ['http', 'accel'])) && (!Array.isArray(proxies) || proxies.length === 0))
    remarks.push([
      ['http', 'accel'],
      'changes nothing without http.trusted_proxies; name the address of the proxy there',
    ]);
  const upstreams = valueAt(tree, ['upstreams']);
  for (const [key, entry] of Object.entries(isSection(upstreams) ? upstreams : {})) {
    if (hubNames.has(key.toLowerCase()))
      remarks.push([['upstreams', key], `image names call Docker Hub ${HUB}; write "${HUB}:" instead`]);
    for (const [path, url] of urlsOf(key, entry))
      if (hubSites.has(url.hostname))
        remarks.push([
          path,
          `${url.hostname} is a web site; the registry of Docker Hub is https://registry-1.docker.io, the default`,
        ]);
  }
  return remarks;
}

/** An upstream at an address of this mirror. `own`: IP addresses and names of this machine, without brackets. */
export function findOwnUpstreams(tree: unknown, http: Config['http'], own: ReadonlySet<string>): Remark[] {
  const upstreams = valueAt(tree, ['upstreams']);
  return Object.entries(isSection(upstreams) ? upstreams : {}).flatMap(([key, entry]) =>
    urlsOf(key, entry).flatMap(([path, url]): Remark[] => {
      const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
      const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
      const listen = http.listen.find(
        address => address.port === port && (own.has(host) || address.host === host),
      );
      if (listen === undefined) return [];
      return [
        [path, `${url.host} is an address of this mirror, which would ask itself; give another registry`],
      ];
    }),
  );
}

export const homeHint = 'write the whole path';

/** Shells turn `~` into the home folder; a configuration doesn't. */
export function isHome(value: unknown): boolean {
  return typeof value === 'string' && /^~(?:$|\/|[a-z])/.test(value);
}

function urlsOf(key: string, entry: unknown): readonly (readonly [Path, URL])[] {
  const given = valueAt(entry, ['url']);
  const path = ['upstreams', key, 'url'];
  const texts = Array.isArray(given)
    ? given.map((url, index) => [[...path, index], url] as const)
    : [[path, given] as const];
  return texts.flatMap(([at, text]) =>
    typeof text === 'string' && URL.canParse(text) ? [[at, new URL(text)] as const] : [],
  );
}
