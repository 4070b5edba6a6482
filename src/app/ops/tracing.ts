/** Traces, where `tracing` is configured. Without it nothing of OpenTelemetry is loaded. */
import type { Tracing } from '../../tracing/tracing.ts';
import { readVersion } from '../../version.ts';
import type { AppContext } from '../app-context.ts';

/**
 * `instance`: what tells this process from others, in each of its spans.
 * Undefined: there are none. Waits for no network. The lifecycle closes it, after what it traces.
 */
export async function startTracing(
  instance: string,
  { config, lifecycle, metrics, logger }: AppContext,
): Promise<Tracing | undefined> {
  const { tracing: settings } = config;
  if (settings === undefined) return undefined;
  const [{ Tracing }, { TraceMetrics }, version] = await Promise.all([
    import('../../tracing/tracing.ts'),
    import('../../metrics/trace-metrics.ts'),
    readVersion(),
  ]);
  const observer = new TraceMetrics(metrics.registry);
  return await lifecycle.start(
    'traces',
    () => new Tracing({ ...settings, version, instance, observer, logger }),
    part => part.close(),
  );
}
