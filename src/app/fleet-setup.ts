/**
 * Makes this mirror a node of the configured fleet, with the fleet's metrics. Without `fleet` in the configuration nothing of
 * it is loaded.
 */
import type { Fleet } from '../fleet/fleet.ts';
import type { RedisConnection } from '../redis/redis-connection.ts';
import type { AppContext } from './app-context.ts';
import type { Storage } from './storage.ts';

/** Undefined: no fleet is configured. Waits for no network. The lifecycle closes it. */
export async function setUpFleet(
  { store, downloads, layout }: Pick<Storage, 'store' | 'downloads' | 'layout'>,
  connection: RedisConnection | undefined,
  context: AppContext,
): Promise<Fleet | undefined> {
  const { config, lifecycle, logger, metrics, now } = context;
  const { fleet: settings } = config;
  if (settings === undefined || connection === undefined) return undefined;
  const [{ Fleet }, { FleetMetrics }] = await Promise.all([
    import('../fleet/fleet.ts'),
    import('../metrics/fleet-metrics.ts'),
  ]);
  const observer = new FleetMetrics(metrics.registry);
  const fleet = new Fleet({
    name: settings.name,
    secret: settings.secret,
    advertise: settings.advertise,
    node: layout.id,
    redis: connection,
    blobs: {
      isHeld: async digest => (await store.sizeOf(digest)) !== undefined,
      isActive: digest => downloads.isActive(digest),
      ended: digest => downloads.ended(digest),
    },
    // what one node found is never older for another than the strictest rule allows
    tagTtlMs: Math.min(config.tags.ttlMs, ...config.tags.patterns.map(({ ttlMs }) => ttlMs)),
    onRateLimit: (upstream, limit) => metrics.upstreamRateLimit(upstream, limit),
    observer,
    logger,
    now,
  });
  observer.sampleFleet(() => ({
    isUp: fleet.redis.isUp,
    nodes: fleet.nodes.alive,
    leases: fleet.renewals.count,
  }));
  await lifecycle.start(
    'fleet',
    () => {
      connection.watch(() => fleet.probeRedis());
      fleet.start();
    },
    () => fleet.close(),
  );
  return fleet;
}
