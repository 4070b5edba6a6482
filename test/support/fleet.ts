/**
 * Several mirrors as one fleet on a real Redis: as processes (`spawnFleet`, for tests that kill and stop them), or in this
 * process (`startFleet`). Each is ready when this resolves: it has met the others in Redis.
 *
 *     const redis = await startRedis();
 *     const [first, second] = await spawnFleet({ upstream, redis, count: 2 });
 */
import { expect } from 'vitest';
import { type Front, openFront } from './front.ts';
import { spawnTestMirror, startTestMirror, type TestMirror, type TestMirrorOptions } from './mirror.ts';

export const fleetSecret = 'a secret of all nodes of the tests';

export interface FleetOptions extends TestMirrorOptions {
  readonly redis: { readonly url: string };
  readonly count?: number;
}

export type LocalNode = TestMirror & { readonly front: Front };
export type SpawnedNode = Awaited<ReturnType<typeof spawnTestMirror>> & { readonly front: Front };

async function open<Mirror extends { url: string; metric(series: string): Promise<number> }>(
  { redis, count = 3, config, ...options }: FleetOptions,
  start: (options: TestMirrorOptions) => Promise<Mirror>,
): Promise<(Mirror & { readonly front: Front })[]> {
  const nodes = await Promise.all(
    Array.from({ length: count }, async () => {
      const front = await openFront();
      const own = {
        lru: { redis: redis.url },
        fleet: { name: 'lab', advertise: front.url, secret: fleetSecret },
      };
      const mirror = await start({ ...options, config: { ...own, ...config } });
      front.target = mirror.url;
      return Object.assign(mirror, { front });
    }),
  );
  for (const { metric } of nodes) {
    await expect.poll(() => metric('cistern_fleet_nodes'), { timeout: 20_000 }).toBe(count);
  }
  return nodes;
}

export function spawnFleet(options: FleetOptions): Promise<SpawnedNode[]> {
  return open(options, spawnTestMirror);
}

export function startFleet(options: FleetOptions): Promise<LocalNode[]> {
  return open(options, startTestMirror);
}
