/**
 * When the entries of `warm` run: every so often, first at the start, or at a time of day. A run that is not over when its next time comes
 * is not started twice: the next one follows it.
 */
import type { WarmEntryReport, WarmRequest } from '../admin/warm-admin.ts';
import { type DayTime, type DayWindow, nextTimeAfter } from '../lib/day-time.ts';
import { wait } from '../lib/wait.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { WarmClock } from './warm-gate.ts';
import type { WarmRun } from './warm-run.ts';

/** An entry of `warm` in the configuration. `everyMs` or `at` is there. */
export interface WarmEntry extends WarmRequest {
  readonly everyMs?: number;
  readonly at?: DayTime;
  readonly window?: DayWindow;
}

export interface WarmScheduleOptions extends WarmClock {
  start(entry: WarmEntry, source: string): WarmRun;
  readonly logger: Logger;
}

/** A clock that is set, and a machine that slept, are noticed so soon. */
const lookAgainMs = 60_000;

interface Scheduled {
  readonly source: string;
  /** Undefined: its run has not ended. Milliseconds since the epoch. */
  nextMs: number | undefined;
}

export class WarmSchedule {
  readonly #options: WarmScheduleOptions;
  #stop = new AbortController();
  #scheduled: readonly Scheduled[] = [];
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: WarmScheduleOptions) {
    this.#options = options;
  }

  /** Instead of the entries until now, whose runs are stopped. Never throws. */
  async apply(entries: readonly WarmEntry[]): Promise<void> {
    await this.close();
    const stop = new AbortController();
    this.#stop = stop;
    const scheduled = entries.map((entry, index) => ({
      entry,
      state: { source: `warm[${index}]`, nextMs: this.#firstOf(entry) },
    }));
    this.#scheduled = scheduled.map(({ state }) => state);
    this.#running = Promise.all(scheduled.map(({ entry, state }) => this.#repeat(entry, state, stop.signal)));
  }

  report(): readonly WarmEntryReport[] {
    return this.#scheduled.map(({ source, nextMs }) => ({
      source,
      nextAt: nextMs === undefined ? null : new Date(nextMs).toISOString(),
    }));
  }

  /** Idempotent. Never throws. */
  async close(): Promise<void> {
    this.#stop.abort(new Error('the schedule has ended'));
    await this.#running;
  }

  #firstOf({ at }: WarmEntry): number {
    const nowMs = this.#options.now();
    return at === undefined ? nowMs : nextTimeAfter(nowMs, at);
  }

  async #repeat(entry: WarmEntry, state: Scheduled, signal: AbortSignal): Promise<void> {
    const { start, logger, now } = this.#options;
    let run: WarmRun | undefined;
    try {
      for (;;) {
        await this.#sleep(state, signal);
        const startedMs = now();
        state.nextMs = undefined;
        run = start(entry, state.source);
        await endOf(run, signal);
        state.nextMs =
          entry.at === undefined
            ? Math.max(now(), startedMs + (entry.everyMs ?? 0))
            : nextTimeAfter(now(), entry.at);
      }
    } catch (error) {
      await run?.stop();
      if (!signal.aborted) logger.error('an entry of warm runs no longer', { entry: state.source, error });
    }
  }

  async #sleep({ nextMs = 0 }: Scheduled, signal: AbortSignal): Promise<void> {
    const { timers, now } = this.#options;
    for (let leftMs = nextMs - now(); leftMs > 0; leftMs = nextMs - now())
      await wait(timers, Math.min(leftMs, lookAgainMs), signal);
    signal.throwIfAborted();
  }
}

/** Errors: the signal's reason. */
async function endOf(run: WarmRun, signal: AbortSignal): Promise<void> {
  const onAbort = () => void run.stop();
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  await run.ended;
  signal.removeEventListener('abort', onAbort);
  signal.throwIfAborted();
}
