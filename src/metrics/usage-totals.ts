/** Sums over the metric families, by upstream, for the daily report. They are read once a minute, so that no request pays for them. */
import type { Counter } from 'prom-client';
import type { UsageKey, UsageSums } from '../telemetry/usage.ts';
import type { MetricFamilies } from './metric-families.ts';

/** No upstreams: requests without a repository, and the private registry. */
const others: ReadonlySet<string> = new Set(['none', 'hosted']);
/** Answered without a transfer of their own. */
const hitOutcomes: ReadonlySet<unknown> = new Set(['hit', 'joined', 'stale']);

type Sums = { -readonly [Key in UsageKey]: number };
type Labels = Readonly<Partial<Record<string, string | number>>>;

export async function readUsageSums(families: MetricFamilies): Promise<ReadonlyMap<string, UsageSums>> {
  const sums = new Map<string, Sums>();
  const add = (upstream: unknown, key: UsageKey, value: number) => {
    if (typeof upstream !== 'string' || others.has(upstream) || value === 0) return;
    const known = sums.get(upstream) ?? createSums();
    known[key] += value;
    sums.set(upstream, known);
  };
  for (const { labels, value } of await valuesOf(families.requests)) {
    const { upstream, kind, method, status, outcome } = labels;
    if (method !== 'GET' || Number(status) >= 400 || outcome === 'error') continue;
    if (kind === 'manifest') add(upstream, 'pulls', value);
    if (kind !== 'manifest' && kind !== 'blob') continue;
    add(upstream, 'requests', value);
    if (hitOutcomes.has(outcome)) add(upstream, 'hits', value);
  }
  for (const { labels, value } of await valuesOf(families.servedBytes)) {
    const { upstream, kind, outcome } = labels;
    if (kind === 'blob' && outcome !== 'error') add(upstream, 'servedBytes', value);
  }
  for (const { labels, value } of await valuesOf(families.upstreamRequests)) {
    const { upstream, kind, method, status } = labels;
    if (kind === 'manifest' && method === 'GET' && /^2/.test(String(status))) add(upstream, 'counted', value);
  }
  for (const { labels, value } of await valuesOf(families.upstreamBytes))
    add(labels['upstream'], 'fetchedBytes', value);
  return sums;
}

async function valuesOf(
  counter: Counter,
): Promise<readonly { readonly labels: Labels; readonly value: number }[]> {
  return (await counter.get()).values;
}

function createSums(): Sums {
  return { pulls: 0, counted: 0, requests: 0, hits: 0, servedBytes: 0, fetchedBytes: 0 };
}
