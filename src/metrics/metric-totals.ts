/** Sums over the metric families for `stats`: requests, bytes, evictions, upstreams. */
import type { Counter, Gauge } from 'prom-client';
import type { Outcome } from '../telemetry/observer.ts';
import type { MetricFamilies } from './metric-families.ts';

export type ByOutcome = Readonly<Record<Outcome, number>>;

export interface UpstreamTotals {
  /** Undefined before the first request to it. */
  readonly up: boolean | undefined;
  readonly breakerOpen: boolean;
  readonly rateLimit: number | undefined;
  readonly rateRemaining: number | undefined;
  /** Undefined before they were used. */
  readonly areCredentialsAccepted: boolean | undefined;
}

/** Since the start. Requests and served bytes are those of manifests and blobs. */
export interface MetricTotals {
  readonly requests: ByOutcome;
  readonly servedBytes: ByOutcome;
  readonly upstreamBytes: number;
  readonly evictedBlobs: number;
  readonly evictedBytes: number;
  of(upstream: string): UpstreamTotals;
}

type Sample = Awaited<ReturnType<Counter['get']>>['values'][number];

export async function readTotals(families: MetricFamilies): Promise<MetricTotals> {
  const [ups, breakers, limits, remaining, credentials] = await Promise.all(
    [
      families.upstreamUp,
      families.breakerOpen,
      families.rateLimit,
      families.rateRemaining,
      families.upstreamCredentials,
    ].map(byUpstream),
  );
  return {
    requests: await byOutcome(families.requests),
    servedBytes: await byOutcome(families.servedBytes),
    upstreamBytes: await sumOf(families.upstreamBytes),
    evictedBlobs: await sumOf(families.evictions),
    evictedBytes: await sumOf(families.evictedBytes),
    of: upstream => {
      const up = ups?.get(upstream);
      const accepted = credentials?.get(upstream);
      return {
        up: up === undefined ? undefined : up === 1,
        breakerOpen: breakers?.get(upstream) === 1,
        rateLimit: limits?.get(upstream),
        rateRemaining: remaining?.get(upstream),
        areCredentialsAccepted: accepted === undefined ? undefined : accepted === 1,
      };
    },
  };
}

async function byUpstream(gauge: Gauge): Promise<ReadonlyMap<unknown, number>> {
  const { values } = await gauge.get();
  return new Map(values.map(({ labels, value }) => [labels['upstream'], value]));
}

async function byOutcome(counter: Counter): Promise<ByOutcome> {
  const { values } = await counter.get();
  const of = (outcome: Outcome) =>
    sum(values.filter(({ labels }) => isContent(labels['kind']) && labels['outcome'] === outcome));
  return {
    hit: of('hit'),
    miss: of('miss'),
    joined: of('joined'),
    stale: of('stale'),
    passthrough: of('passthrough'),
    error: of('error'),
  };
}

function isContent(kind: unknown): boolean {
  return kind === 'manifest' || kind === 'blob';
}

async function sumOf(counter: Counter): Promise<number> {
  return sum((await counter.get()).values);
}

function sum(samples: readonly Pick<Sample, 'value'>[]): number {
  return samples.reduce((total, { value }) => total + value, 0);
}
