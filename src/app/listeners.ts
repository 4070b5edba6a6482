/**
 * The doors: the apps over the composed rooms, and the addresses they listen on. Each listener is closed by the
 * lifecycle, with the drain.
 */

import type { StatsReport } from '../admin/admin.ts';
import { type AppOptions, createApp, createOpsApp } from '../http/app.ts';
import { Listener } from '../http/server/listener.ts';
import { createAccess } from './access.ts';
import type { AppContext } from './app-context.ts';

export interface Serving extends Pick<AppOptions, 'directory' | 'catalog' | 'peers'> {
  /** The store has been read: for `/readyz`. */
  isScanned(): boolean;
  /** Whether Redis keeps the LRU index; absent: it isn't to. */
  redisLru?(): boolean;
  /** Whether the fleet can be met; absent: there is none. */
  fleet?(): boolean;
  readStats(): Promise<StatsReport>;
}

/** Resolves with the URLs of the main listener. Errors: those of `listen`. */
export async function listen(
  { isScanned, readStats, redisLru, fleet, ...serving }: Serving,
  around: AppContext,
): Promise<readonly string[]> {
  const { config, lifecycle, metrics, logger, now } = around;
  const { path, listen: metricsAddress } = config.metrics;
  const access = createAccess(config.access, around);
  const stats = { access, read: readStats }; // figures, like the metrics: they are served where those are
  const ops = {
    observer: metrics,
    logger,
    accessLog: config.log.access,
    trustedProxies: config.http.trustedProxies,
    renderMetrics: () => metrics.render(),
    ready: () => ({
      ok: !lifecycle.closing,
      detail: {
        draining: lifecycle.closing,
        storeScanned: isScanned(),
        ...(redisLru !== undefined && { lru: redisLru() ? 'redis' : 'degraded' }),
        ...(fleet !== undefined && { fleet: fleet() ? 'met' : 'degraded' }),
      },
    }),
  };
  if (metricsAddress !== undefined) {
    const handle = createOpsApp({ ...ops, stats, metricsPath: path });
    const open = () => Listener.open({ addresses: [metricsAddress], handle, logger });
    await lifecycle.start('metrics listener', open, part => part.close({ drainMs: 0 }));
  }
  const handle = createApp({
    ...ops,
    ...serving,
    access,
    now,
    stats: metricsAddress === undefined ? stats : undefined,
    metricsPath: metricsAddress === undefined ? path : undefined,
  });
  const refused = {
    upstream: 'none',
    kind: 'other',
    method: 'OTHER',
    outcome: 'error',
    bytes: 0,
    seconds: 0,
    firstByteSeconds: 0,
  } as const;
  const onRefused = (status: number) => metrics.requestEnded({ ...refused, status });
  const open = () => Listener.open({ addresses: config.http.listen, handle, logger, onRefused });
  const listener = await lifecycle.start('listener', open, (part, closing) => part.close(closing));
  return listener.urls;
}
