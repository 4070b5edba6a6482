/**
 * What a user sees of work that takes longer than a second: on a terminal a bar that goes away at the end, elsewhere a plain line now
 * and then. Work that ends sooner shows nothing.
 */
import { SingleBar } from 'cli-progress';
import { formatBytes, formatSpan } from '../../lib/format.ts';
import { systemTimers, type Timers } from '../../lib/wait.ts';
import type { OnProgress, Progress } from '../../telemetry/progress.ts';

/** Standard error, in most cases. */
export interface ProgressStream extends NodeJS.WritableStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface ProgressReporterOptions {
  /** What is done, as the first word of each line: `gc`. */
  readonly label: string;
  readonly stream: ProgressStream;
  /** Milliseconds on any clock that doesn't go back. */
  now?(): number;
  readonly timers?: Timers;
}

const quietMs = 1000;
/** Between two plain lines. */
const plainEveryMs = 10_000;
const barWidth = 24;
/** Rates of less time than this say nothing. */
const rateAfterMs = 500;

export class ProgressReporter {
  readonly #label: string;
  readonly #stream: ProgressStream;
  readonly #now: () => number;
  readonly #startedMs: number;
  /** The timer ends it whatever the clock says: it may be some microseconds early, and would never come again. */
  #isQuiet = true;
  readonly #withdrawTimer: () => void;
  #latest: Progress | undefined;
  /** Where the present part of the work began. */
  #part: { readonly unit: string; readonly done: number; readonly atMs: number } | undefined;
  #bar: SingleBar | undefined;
  #plainAtMs = Number.NEGATIVE_INFINITY;

  constructor({
    label,
    stream,
    now = () => performance.now(),
    timers = systemTimers,
  }: ProgressReporterOptions) {
    this.#label = label;
    this.#stream = stream;
    this.#now = now;
    this.#startedMs = now();
    this.#withdrawTimer = timers.after(quietMs, () => {
      this.#isQuiet = false;
      this.#show();
    });
  }

  update(progress: Progress): void {
    this.#latest = progress;
    const { unit, done } = progress;
    if (this.#part?.unit !== unit || done < this.#part.done) this.#part = { unit, done, atMs: this.#now() };
    this.#show();
  }

  /** A whole line that stays. Without line feed. */
  say(line: string): void {
    this.aside(() => this.#stream.write(`${line}\n`));
  }

  /** `write` writes whole lines to the same terminal, by whichever stream: the bar makes room meanwhile. */
  aside(write: () => void): void {
    const wasShown = this.#bar !== undefined;
    this.#hide();
    write();
    if (wasShown) this.#show();
  }

  /** Takes the bar away. Idempotent. */
  end(): void {
    this.#withdrawTimer();
    this.#latest = undefined;
    this.#hide();
  }

  #show(): void {
    const progress = this.#latest;
    const nowMs = this.#now();
    if (progress === undefined || (this.#isQuiet && nowMs - this.#startedMs < quietMs)) return;
    if (this.#stream.isTTY === true) this.#draw(progress);
    else if (nowMs - this.#plainAtMs >= plainEveryMs) {
      this.#plainAtMs = nowMs;
      this.#stream.write(`${this.#label}: ${this.#describe(progress)}\n`);
    }
  }

  #draw({ done, total = 0 }: Progress): void {
    if (this.#bar !== undefined) {
      this.#bar.update(done);
      return;
    }
    this.#bar = new SingleBar({
      stream: this.#stream,
      format: () => this.#line(),
      clearOnComplete: true,
      linewrap: true, // cut by the bar itself: a terminal whose wrapping was off would stay so after a kill
      gracefulExit: false, // a signal belongs to the command
      fps: 5,
    });
    this.#bar.start(total, done);
  }

  #hide(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  #line(): string {
    const progress = this.#latest;
    if (progress === undefined) return '';
    const { done, total } = progress;
    if (total === undefined) return `${this.#label}  ${this.#describe(progress)}`;
    const filled = Math.round(barWidth * shareOf(done, total));
    const bar = `[${'='.repeat(filled)}${'-'.repeat(barWidth - filled)}]`;
    return `${this.#label} ${bar} ${this.#describe(progress)}`;
  }

  /** `45 %, 1.2 GiB of 2.6 GiB, 110 MiB/s, 12 s left, sha256:0123`. */
  #describe({ done, total, unit, note }: Progress): string {
    const amount = (value: number) => (unit === 'bytes' ? formatBytes(value) : String(value));
    const of = total === undefined ? amount(done) : `${amount(done)} of ${amount(total)}`;
    const perMs = this.#ratePerMs(done);
    const parts = [
      ...(total === undefined ? [] : [`${Math.floor(100 * shareOf(done, total))} %`]),
      unit === 'bytes' ? of : `${of} ${unit}`,
      ...(perMs > 0 && unit === 'bytes' ? [`${formatBytes(perMs * 1000)}/s`] : []),
      ...(perMs > 0 && total !== undefined && total > done
        ? [`${formatSpan((total - done) / perMs)} left`]
        : []),
      ...(note === undefined ? [] : [note]),
    ];
    return parts.join(', ');
  }

  /** 0: not known yet. */
  #ratePerMs(done: number): number {
    const part = this.#part;
    const spentMs = part === undefined ? 0 : this.#now() - part.atMs;
    return part === undefined || spentMs < rateAfterMs ? 0 : (done - part.done) / spentMs;
  }
}

/**
 * Shows what `work` reports while it runs. Without a stream nothing is shown, and nothing needs to be reported; nor is it with `json` into a
 * pipe, where a program reads.
 */
export async function withProgress<T>(
  { progressTo: stream, json = false }: { readonly progressTo?: ProgressStream; readonly json?: boolean },
  label: string,
  work: (onProgress: OnProgress | undefined) => Promise<T>,
): Promise<T> {
  if (stream === undefined || (json && stream.isTTY !== true)) return work(undefined);
  const reporter = new ProgressReporter({ label, stream });
  try {
    return await work(progress => reporter.update(progress));
  } finally {
    reporter.end();
  }
}

function shareOf(done: number, total: number): number {
  return total === 0 ? 1 : Math.min(1, done / total);
}
