/**
 * "Was it worth it": what the mirror answered, fetched and saved, day by day, kept over restarts. The counters are read once a minute and
 * their growth is appended to a file, so that requests pay nothing for it, and `kill -9` loses a minute at most.
 */
import { systemTimers, type Timers } from '../lib/wait.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { UsageSource, UsageSums } from '../telemetry/usage.ts';
import { type FailedImage, type FetchedImage, ImageFates } from './image-fates.ts';
import { dayMs, type HistoryPoint, hourMs, noSums, plus, sumOf, UsageHistory } from './usage-history.ts';

/** Where the lines are: `store/report-file.ts`. */
export interface ReportLines {
  read(): Promise<readonly unknown[]>;
  append(lines: Iterable<unknown>): Promise<void>;
  rewrite(lines: Iterable<unknown>): Promise<void>;
  readonly isBloated: boolean;
}

export interface DailyReportOptions {
  readonly file: ReportLines;
  /** Absent: what the file says is all. */
  readonly source?: UsageSource;
  readonly logger: Logger;
  readonly timers?: Timers;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** Over a time, by upstream. */
export interface UsageSince {
  /** What was counted: whole hours for two days, whole days (of UTC) before. Milliseconds since the epoch. */
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly upstreams: HistoryPoint['upstreams'];
  readonly days: readonly HistoryPoint[];
  /** Of the last two days. */
  readonly hours: readonly HistoryPoint[];
  readonly fetchedOnce: readonly FetchedImage[];
  readonly failed: readonly FailedImage[];
}

const everyMs = 60_000;
const hoursMs = 48 * hourMs;

export class DailyReport {
  readonly #options: DailyReportOptions;
  readonly #history = new UsageHistory();
  readonly #fates = new ImageFates();
  /** The counters at the last reading. */
  #counted: ReadonlyMap<string, UsageSums> = new Map();
  /** One reading after the other. */
  #reading: Promise<void> = Promise.resolve();
  #withdraw: () => void = () => {};
  #isFailing = false;
  #isClosed = false;

  private constructor(options: DailyReportOptions) {
    this.#options = options;
  }

  /** A file that can't be read begins anew. */
  static async open(options: DailyReportOptions): Promise<DailyReport> {
    const report = new DailyReport(options);
    await report.#load();
    if (options.source !== undefined) report.#readLater();
    return report;
  }

  /** With all until now. Never throws. */
  async read(sinceMs: number): Promise<UsageSince> {
    await this.#readNow();
    const untilMs = this.#options.now();
    const isShort = untilMs - sinceMs <= hoursMs;
    const fromMs = Math.floor(sinceMs / (isShort ? hourMs : dayMs)) * (isShort ? hourMs : dayMs);
    const points = isShort ? this.#history.hours(fromMs) : this.#history.days(fromMs);
    return {
      sinceMs: fromMs,
      untilMs,
      upstreams: sumOf(points),
      days: this.#history.days(fromMs),
      hours: this.#history.hours(untilMs - hoursMs + 1),
      fetchedOnce: this.#fates.fetchedOnce(fromMs),
      failed: this.#fates.failed(fromMs),
    };
  }

  /** Writes what is left. Idempotent. Never throws. */
  async close(): Promise<void> {
    this.#withdraw();
    if (!this.#isClosed) await this.#readNow();
    this.#isClosed = true;
    await this.#reading;
  }

  async #load(): Promise<void> {
    const { file, logger, now } = this.#options;
    try {
      for (const line of await file.read()) {
        if (!isRecord(line)) continue;
        if (!this.#history.apply(line)) this.#fates.apply(line);
      }
    } catch (error) {
      logger.warn('the daily report cannot be read and begins anew', { error });
    }
    this.#age(now());
  }

  #readLater(): void {
    const { timers = systemTimers } = this.#options;
    this.#withdraw = timers.after(everyMs, () => {
      void this.#readNow().then(() => {
        if (!this.#isClosed) this.#readLater();
      });
    });
  }

  #readNow(): Promise<void> {
    this.#reading = this.#reading.then(() => (this.#isClosed ? undefined : this.#readAndWrite()));
    return this.#reading;
  }

  async #readAndWrite(): Promise<void> {
    const { source, file, logger, now } = this.#options;
    if (source === undefined) return;
    try {
      const { sums, notes } = await source.readUsage();
      const nowMs = now();
      for (const [upstream, current] of sums) this.#addGrowth(nowMs, upstream, current);
      this.#counted = sums;
      for (const { upstream, bytes } of this.#fates.note(notes, nowMs))
        this.#history.add(nowMs, upstream, { refetchedBlobs: 1, refetchedBytes: bytes });
      const lines = [...this.#history.takeChanges(), ...this.#fates.takeChanges()];
      this.#age(nowMs);
      if (this.#isFailing || file.isBloated) await file.rewrite(this.#lines());
      else if (lines.length > 0) await file.append(lines);
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing)
        logger.warn('the daily report could not be written, it is tried again', { error });
      this.#isFailing = true; // what was not appended is in memory: all of it is written next time
    }
  }

  #addGrowth(nowMs: number, upstream: string, current: UsageSums): void {
    const before = plus(noSums, this.#counted.get(upstream) ?? {});
    const entries = Object.entries(current) as readonly (readonly [keyof UsageSums, number])[];
    const growth = entries.map(([key, value]) => [key, value - before[key]] as const);
    if (growth.some(([, value]) => value !== 0))
      this.#history.add(nowMs, upstream, Object.fromEntries(growth));
  }

  #age(nowMs: number): void {
    this.#history.age(nowMs);
    this.#fates.age(nowMs);
  }

  *#lines(): Iterable<unknown> {
    yield* this.#history.lines();
    yield* this.#fates.lines();
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
