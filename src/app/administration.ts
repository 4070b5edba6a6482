/** The commands of the command line over the parts of a running daemon. */
import type { StatsReport } from '../admin/admin.ts';
import { LocalAdmin } from '../admin/local-admin.ts';
import type { PullThroughCache } from '../cached/pull-through-cache.ts';
import type { AppContext } from './app-context.ts';
import { imageHostsOf } from './image-hosts.ts';
import type { Storage } from './storage.ts';
import type { OpenedUpstream } from './upstreams.ts';

export interface AdministrationParts {
  readonly holdings: Storage;
  readonly cache: PullThroughCache;
  readonly upstreams: readonly OpenedUpstream[];
  /** The store was read. */
  readonly settled: Promise<void>;
  stats(): Promise<StatsReport>;
}

export function createAdmin(
  { holdings, cache, upstreams, settled, stats }: AdministrationParts,
  { config, logger }: Pick<AppContext, 'config' | 'logger'>,
): LocalAdmin {
  const { capacity, downloads, lastUses, lru, pins, records, store } = holdings;
  const registries = new Map(upstreams.map(({ key, registry }) => [key, registry]));
  return new LocalAdmin({
    records,
    store,
    pins,
    logger,
    stats,
    hosts: imageHostsOf(config),
    registry: host => registries.get(host),
    isActive: digest => downloads.isActive(digest),
    blobRemoved: digest => lru.remove(digest),
    manifestRemoved: (digest, bytes) => {
      cache.forgetManifest(digest);
      capacity.account(-bytes);
    },
    flush: async () => {
      await Promise.all([lastUses.flush(), records.flush()]);
    },
    ready: () => settled,
  });
}
