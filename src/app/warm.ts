/** `cistern warm` and its schedule, over the upstreams through the cache: what is fetched ahead is kept as if a client had pulled it. */
import { formatImage, imageHostsOf, parseImage } from '../admin/image-name.ts';
import type { Timers } from '../lib/wait.ts';
import { RegistryError } from '../oci/error.ts';
import type { Platform } from '../oci/platform.ts';
import { Warm } from '../warm/warm.ts';
import { WarmUpstream } from '../warm/warm-gate.ts';
import type { WarmItem } from '../warm/warm-run.ts';
import type { AppContext } from './app-context.ts';
import type { Storage } from './storage.ts';
import type { OpenedUpstream } from './upstreams.ts';

export interface WarmParts {
  readonly storage: Pick<Storage, 'records' | 'store' | 'downloads'>;
  readonly upstreams: readonly OpenedUpstream[];
}

/** The schedule begins with `apply`. */
export function openWarm(
  { storage, upstreams }: WarmParts,
  timers: Timers,
  { config, logger, metrics, now }: AppContext,
): Warm {
  const { records, store, downloads } = storage;
  const hosts = imageHostsOf(config);
  const read = (text: string): WarmItem => {
    const image = parseImage(text, hosts);
    const { host, name, repository, reference } = image;
    if (host === '') return { image: formatImage(image), skipped: 'it is hosted here' };
    const target = { name, repository, reference, platforms: undefined };
    return { image: formatImage(image), upstream: host, target };
  };
  return new Warm({
    upstreams: upstreams.map(({ key, registry, health }) => new WarmUpstream(key, registry, health)),
    content: {
      hasManifest: async (name, digest) =>
        (await records.look(name)).manifest(digest) !== undefined &&
        (await store.sizeOf(digest)) !== undefined,
      sizeOf: digest => store.sizeOf(digest),
      downloaded: digest => downloads.ended(digest),
    },
    parse: text => {
      try {
        return read(text);
      } catch (error) {
        if (error instanceof RegistryError) return { image: text, failed: error.message };
        throw error;
      }
    },
    platform: ownPlatform(process.arch),
    logger,
    observer: metrics,
    timers,
    now,
  });
}

/** As images name it: they are Linux ones, whatever this daemon runs on. */
function ownPlatform(arch: string): Platform {
  const names: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };
  return { os: 'linux', architecture: names[arch] ?? arch };
}
