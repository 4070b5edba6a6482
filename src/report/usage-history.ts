/**
 * Sums of each upstream by the hour for two days, and by the day for 400 days. Hours and days are those of UTC, so that none is longer than
 * another. An hour that is too old becomes a part of its day.
 */
import type { UsageSums } from '../telemetry/usage.ts';

/** With what was downloaded again soon after its eviction. */
export interface HistorySums extends UsageSums {
  readonly refetchedBlobs: number;
  readonly refetchedBytes: number;
}

export const hourMs = 60 * 60_000;
export const dayMs = 24 * hourMs;
const keptHours = 50;
const keptDays = 400;

type SumsLine =
  | { readonly type: 'hour'; readonly hour: number; readonly upstream: string; readonly sums: HistorySums }
  | { readonly type: 'day'; readonly day: number; readonly upstream: string; readonly sums: HistorySums };

type ByUpstream = Map<string, HistorySums>;

export interface HistoryPoint {
  /** When it begins: milliseconds since the epoch. */
  readonly atMs: number;
  readonly upstreams: ReadonlyMap<string, HistorySums>;
}

export class UsageHistory {
  /** By hours since the epoch. */
  readonly #hours = new Map<number, ByUpstream>();
  /** By days since the epoch, without the hours that are kept. */
  readonly #days = new Map<number, ByUpstream>();
  /** Hours that have changed, and are not written. */
  readonly #changed = new Map<string, { readonly hour: number; readonly upstream: string }>();

  add(nowMs: number, upstream: string, sums: Partial<HistorySums>): void {
    const hour = Math.floor(nowMs / hourMs);
    const hours = mapAt(this.#hours, hour);
    hours.set(upstream, plus(hours.get(upstream) ?? noSums, sums));
    this.#changed.set(`${hour} ${upstream}`, { hour, upstream });
  }

  /** A line of the file. False: it is none of these. */
  apply(line: Readonly<Record<string, unknown>>): boolean {
    const { type, upstream } = line;
    if ((type !== 'hour' && type !== 'day') || typeof upstream !== 'string') return false;
    const at = line[type];
    if (typeof at === 'number')
      mapAt(type === 'hour' ? this.#hours : this.#days, at).set(upstream, read(line['sums']));
    return true;
  }

  /** Old hours become parts of their days, and old days go. */
  age(nowMs: number): void {
    for (const [hour, byUpstream] of this.#hours) {
      if (hour > Math.floor(nowMs / hourMs) - keptHours) continue;
      const day = mapAt(this.#days, Math.floor((hour * hourMs) / dayMs));
      for (const [upstream, sums] of byUpstream) day.set(upstream, plus(day.get(upstream) ?? noSums, sums));
      this.#hours.delete(hour);
    }
    for (const day of this.#days.keys())
      if (day <= Math.floor(nowMs / dayMs) - keptDays) this.#days.delete(day);
  }

  /** What has changed since the last call. */
  takeChanges(): SumsLine[] {
    const lines = Array.from(this.#changed.values()).flatMap(({ hour, upstream }): SumsLine[] => {
      const sums = this.#hours.get(hour)?.get(upstream);
      return sums === undefined ? [] : [{ type: 'hour', hour, upstream, sums }];
    });
    this.#changed.clear();
    return lines;
  }

  /** All of it, for a new file. */
  *lines(): Iterable<SumsLine> {
    for (const [day, byUpstream] of this.#days)
      for (const [upstream, sums] of byUpstream) yield { type: 'day', day, upstream, sums };
    for (const [hour, byUpstream] of this.#hours)
      for (const [upstream, sums] of byUpstream) yield { type: 'hour', hour, upstream, sums };
  }

  /** From the hour of `sinceMs` on, in their order. At most two days back. */
  hours(sinceMs: number): readonly HistoryPoint[] {
    return pointsOf(this.#hours, hourMs, sinceMs);
  }

  /** From the day of `sinceMs` on, in their order. */
  days(sinceMs: number): readonly HistoryPoint[] {
    const days = new Map<number, ByUpstream>();
    const add = (day: number, byUpstream: ByUpstream) => {
      const sums = mapAt(days, day);
      for (const [upstream, some] of byUpstream) sums.set(upstream, plus(sums.get(upstream) ?? noSums, some));
    };
    for (const [day, byUpstream] of this.#days) add(day, byUpstream);
    for (const [hour, byUpstream] of this.#hours) add(Math.floor((hour * hourMs) / dayMs), byUpstream);
    return pointsOf(days, dayMs, sinceMs);
  }
}

/** Over all points, by upstream. */
export function sumOf(points: readonly HistoryPoint[]): ReadonlyMap<string, HistorySums> {
  const total: ByUpstream = new Map();
  for (const { upstreams } of points)
    for (const [upstream, sums] of upstreams) total.set(upstream, plus(total.get(upstream) ?? noSums, sums));
  return total;
}

export const noSums: HistorySums = {
  pulls: 0,
  counted: 0,
  requests: 0,
  hits: 0,
  servedBytes: 0,
  fetchedBytes: 0,
  refetchedBlobs: 0,
  refetchedBytes: 0,
};
const keys = Object.keys(noSums) as readonly (keyof HistorySums)[];

export function plus(one: HistorySums, other: Partial<HistorySums>): HistorySums {
  const sum = { ...one } as { -readonly [Key in keyof HistorySums]: number };
  for (const key of keys) sum[key] += other[key] ?? 0;
  return sum;
}

/** What was not written by us counts as 0. */
function read(value: unknown): HistorySums {
  if (typeof value !== 'object' || value === null) return noSums;
  const numbers = Object.entries(value).filter(([, number]) => Number.isFinite(number));
  return plus(noSums, Object.fromEntries(numbers));
}

function mapAt<Key>(map: Map<Key, ByUpstream>, key: Key): ByUpstream {
  const known = map.get(key) ?? new Map<string, HistorySums>();
  map.set(key, known);
  return known;
}

function pointsOf(
  map: ReadonlyMap<number, ByUpstream>,
  unitMs: number,
  sinceMs: number,
): readonly HistoryPoint[] {
  return Array.from(map)
    .filter(([at]) => at >= Math.floor(sinceMs / unitMs))
    .sort(([one], [other]) => one - other)
    .map(([at, upstreams]) => ({ atMs: at * unitMs, upstreams }));
}
