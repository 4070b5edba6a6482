/**
 * Requests and bytes of the last day by the minute, for the plots: it is told the running sums once a minute and keeps their differences. In
 * memory: what is older, and what was before a restart, is in the daily report by the hour.
 */
import type { HistorySample } from '../../http/api/schema/stats.ts';

/** Since the start of the process. */
export interface RunningSums {
  readonly requests: number;
  readonly hits: number;
  readonly servedBytes: number;
  readonly upstreamBytes: number;
}

interface Step extends RunningSums {
  /** Milliseconds since the epoch. */
  readonly at: number;
}

const minuteMs = 60_000;
const keptMinutes = 24 * 60;
const none: RunningSums = { requests: 0, hits: 0, servedBytes: 0, upstreamBytes: 0 };

export class FigureHistory {
  /** The oldest first; minutes without a request have none. */
  readonly #minutes: Step[] = [];
  #before = none;

  /** `nowMs`: since the epoch. Several times in a minute are summed up. */
  note(nowMs: number, sums: RunningSums): void {
    const grown = subtract(sums, this.#before);
    this.#before = sums;
    if (grown.requests === 0 && grown.servedBytes === 0 && grown.upstreamBytes === 0) return;
    const at = nowMs - (nowMs % minuteMs);
    const last = this.#minutes.at(-1);
    if (last?.at === at) this.#minutes.splice(-1, 1, { at, ...add(last, grown) });
    else this.#minutes.push({ at, ...grown });
    if (this.#minutes.length > keptMinutes) this.#minutes.shift();
  }

  /** Since then, the oldest first. */
  since(sinceMs: number): readonly HistorySample[] {
    return this.#minutes
      .filter(({ at }) => at >= sinceMs)
      .map(({ at, ...figures }) => ({ at: new Date(at).toISOString(), ...figures }));
  }
}

function add(one: RunningSums, other: RunningSums): RunningSums {
  return {
    requests: one.requests + other.requests,
    hits: one.hits + other.hits,
    servedBytes: one.servedBytes + other.servedBytes,
    upstreamBytes: one.upstreamBytes + other.upstreamBytes,
  };
}

function subtract(sums: RunningSums, before: RunningSums): RunningSums {
  return {
    requests: sums.requests - before.requests,
    hits: sums.hits - before.hits,
    servedBytes: sums.servedBytes - before.servedBytes,
    upstreamBytes: sums.upstreamBytes - before.upstreamBytes,
  };
}
