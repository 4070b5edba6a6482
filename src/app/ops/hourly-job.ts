/** Work that the daemon does by itself: once some minutes after the start, then every hour. What fails is logged, and the next time comes. */
import { systemTimers, type Timers } from '../../lib/wait.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Logger } from '../../telemetry/logger.ts';

export interface HourlyJobOptions {
  readonly firstAfterMs: number;
  run(signal: AbortSignal): Promise<unknown>;
  /** The line in the log for a run that fails. */
  readonly failureMessage: string;
  readonly logger: Logger;
  readonly timers?: Timers;
}

const everyMs = 60 * 60_000;

export class HourlyJob {
  readonly #options: HourlyJobOptions;
  readonly #closing = new AbortController();
  #withdraw: () => void;
  #running: Promise<void> = Promise.resolve();

  constructor(options: HourlyJobOptions) {
    this.#options = options;
    this.#withdraw = this.#after(options.firstAfterMs);
  }

  /** Ends the run that is under way. Idempotent. Never throws. */
  async close(): Promise<void> {
    this.#withdraw();
    this.#closing.abort();
    await this.#running;
  }

  #after(delayMs: number): () => void {
    return (this.#options.timers ?? systemTimers).after(delayMs, () => {
      this.#running = this.#run().finally(() => {
        if (!this.#closing.signal.aborted) this.#withdraw = this.#after(everyMs);
      });
    });
  }

  async #run(): Promise<void> {
    const { run, failureMessage, logger } = this.#options;
    const { signal } = this.#closing;
    try {
      await run(signal);
    } catch (error) {
      if (signal.aborted) return;
      logger.warn(failureMessage, { reason: error instanceof RegistryError ? error.message : error });
    }
  }
}
