/**
 * Requests and bytes over time, for the plots: by minute for a day, by hour for sixty. It is told the running sums once a minute and keeps
 * their differences. In memory: a restart begins anew.
 */
import type { HistoryAnswer, HistorySample } from '../../http/api/schema/stats.ts';

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
const hourMs = 60 * minuteMs;
const keptMinutes = 24 * 60;
const keptHours = 60 * 24;
const none: RunningSums = { requests: 0, hits: 0, servedBytes: 0, upstreamBytes: 0 };

export class FigureHistory {
  #minutes: Step[] = [];
  #hours: Step[] = [];
  #before = none;

  /** `nowMs`: since the epoch. Several times in a step are summed up. */
  note(nowMs: number, sums: RunningSums): void {
    const grown = subtract(sums, this.#before);
    this.#before = sums;
    if (grown.requests === 0 && grown.servedBytes === 0 && grown.upstreamBytes === 0) return;
    this.#minutes = added(this.#minutes, { at: nowMs - (nowMs % minuteMs), ...grown }, keptMinutes);
    this.#hours = added(this.#hours, { at: nowMs - (nowMs % hourMs), ...grown }, keptHours);
  }

  /** The oldest first. */
  of(days: number, nowMs: number): HistoryAnswer {
    const step = days <= 1 ? 'minute' : 'hour';
    const sinceMs = nowMs - days * 24 * hourMs;
    const steps = step === 'minute' ? this.#minutes : this.#hours;
    return { step, samples: steps.filter(({ at }) => at >= sinceMs).map(sampleOf) };
  }
}

function added(steps: readonly Step[], step: Step, kept: number): Step[] {
  const last = steps.at(-1);
  if (last === undefined || last.at !== step.at) return [...steps.slice(-(kept - 1)), step];
  const sum = {
    at: step.at,
    requests: last.requests + step.requests,
    hits: last.hits + step.hits,
    servedBytes: last.servedBytes + step.servedBytes,
    upstreamBytes: last.upstreamBytes + step.upstreamBytes,
  };
  return [...steps.slice(0, -1), sum];
}

function subtract(sums: RunningSums, before: RunningSums): RunningSums {
  return {
    requests: sums.requests - before.requests,
    hits: sums.hits - before.hits,
    servedBytes: sums.servedBytes - before.servedBytes,
    upstreamBytes: sums.upstreamBytes - before.upstreamBytes,
  };
}

function sampleOf({ at, ...figures }: Step): HistorySample {
  return { at: new Date(at).toISOString(), ...figures };
}
