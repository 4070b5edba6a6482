/** Runs the collection by itself: the first time ten minutes after the start, then every hour. One that fails is logged, and the next one comes. */
import { systemTimers, type Timers } from '../../lib/wait.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Collector } from './collector.ts';

export interface HourlyOptions {
  readonly collector: Pick<Collector, 'collect'>;
  /** While nothing may be written, nothing is collected either: somebody may be copying the store. */
  isReadOnly(): boolean;
  readonly logger: Logger;
  readonly timers?: Timers;
}

const firstAfterMs = 10 * 60_000;
const everyMs = 60 * 60_000;

export class HourlyCollection {
  readonly #options: HourlyOptions;
  readonly #closing = new AbortController();
  #withdraw: () => void;
  #running: Promise<void> = Promise.resolve();

  constructor(options: HourlyOptions) {
    this.#options = options;
    this.#withdraw = this.#after(firstAfterMs);
  }

  /** Ends the one that runs. Idempotent. Never throws. */
  async close(): Promise<void> {
    this.#withdraw();
    this.#closing.abort();
    await this.#running;
  }

  #after(delayMs: number): () => void {
    return (this.#options.timers ?? systemTimers).after(delayMs, () => {
      this.#running = this.#collect().finally(() => {
        if (!this.#closing.signal.aborted) this.#withdraw = this.#after(everyMs);
      });
    });
  }

  async #collect(): Promise<void> {
    const { collector, isReadOnly, logger } = this.#options;
    if (isReadOnly()) return;
    try {
      await collector.collect({ dryRun: false }, this.#closing.signal);
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      const isKnown = error instanceof RegistryError;
      logger.warn('hosted repositories were not collected', { reason: isKnown ? error.message : error });
    }
  }
}
