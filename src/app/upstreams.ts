/** The configured upstreams, opened, each with the cache over it. */
import type { PullThroughCache } from '../cached/pull-through-cache.ts';
import type { UpstreamConfig } from '../config/config.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { DirectoryEntry } from '../registry/directory.ts';
import { OfflineOrigin, type Origin, type OriginHealth, ReloadableOrigin } from '../registry/origin.ts';
import type { HealthObserver } from '../upstream/health/health.ts';
import type { AppContext } from './app-context.ts';
import { hasCredentials, openConfigured } from './open-upstream.ts';

export interface OpenedUpstream extends DirectoryEntry {
  health(): OriginHealth;
  /** Takes other credentials and certificates from now on. */
  reload(upstream: UpstreamConfig): void;
}

/** Connects to nothing yet. The lifecycle closes each. */
export async function openUpstreams(
  cache: PullThroughCache,
  fleet: Fleet | undefined,
  context: AppContext,
): Promise<readonly OpenedUpstream[]> {
  const { config, lifecycle } = context;
  const entries: OpenedUpstream[] = [];
  for (const upstream of config.upstreams.values()) {
    const origin = await lifecycle.start(
      upstream.key,
      () => new ReloadableOrigin(openOrigin(upstream, fleet, context)),
      part => part.close(),
    );
    const { key, aliases, allow, deny, finish, share, timeouts } = upstream;
    const isPublic = !hasCredentials(upstream);
    const isGuarded = !isPublic && share === 'public';
    const seen = fleet?.origin(origin) ?? origin; // below the check of visibility: see fleet/fleet-origin.ts
    const firstByteMs = timeouts.firstByteMs + (fleet?.patienceMs ?? 0); // another node's silence isn't the upstream's
    const policy = { isPublic, isGuarded, finish, allow, deny, ...timeouts, firstByteMs };
    const registry = cache.registry(seen, policy);
    entries.push({
      key,
      aliases,
      registry,
      health: () => seen.health(),
      reload: changed => origin.replace(openOrigin(changed, fleet, context)),
    });
  }
  return entries;
}

function openOrigin(
  upstream: UpstreamConfig,
  fleet: Fleet | undefined,
  { config, metrics, logger, now }: AppContext,
): Origin {
  if (config.offline) return new OfflineOrigin(upstream.key);
  const healthObserver = fleet && reportToFleet(fleet, metrics);
  return openConfigured(upstream, { observer: metrics, healthObserver, logger, now });
}

/** To the metrics, and to the nodes that share the pull limit. */
function reportToFleet(fleet: Fleet, metrics: AppContext['metrics']): HealthObserver {
  return {
    upstreamRateLimit: (key, limit) => {
      metrics.upstreamRateLimit(key, limit);
      void fleet.pullQuota.report(key, limit);
    },
    upstreamUp: (key, isUp) => metrics.upstreamUp(key, isUp),
    breakerOpen: (key, isOpen) => metrics.breakerOpen(key, isOpen),
  };
}
