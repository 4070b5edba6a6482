/** Applies retention by itself: the first time five minutes after the start, then every hour. What fails is logged, and the next time comes. */
import { systemTimers, type Timers } from '../../lib/wait.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { AppliedRetention } from './apply-retention.ts';

export interface HourlyRetentionOptions {
  readonly retention: Pick<AppliedRetention, 'apply'>;
  /** Resolves when pins and hosted repositories are known. Never throws. */
  readonly known: Promise<unknown>;
  /** Errors: UNAVAILABLE, while no client may delete either. */
  requireWritable(): void;
  readonly logger: Logger;
  readonly timers?: Timers;
}

const firstAfterMs = 5 * 60_000;
const everyMs = 60 * 60_000;

export class HourlyRetention {
  readonly #options: HourlyRetentionOptions;
  readonly #closing = new AbortController();
  #withdraw: () => void;
  #running: Promise<void> = Promise.resolve();

  constructor(options: HourlyRetentionOptions) {
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
      this.#running = this.#apply().finally(() => {
        if (!this.#closing.signal.aborted) this.#withdraw = this.#after(everyMs);
      });
    });
  }

  async #apply(): Promise<void> {
    const { retention, known, requireWritable, logger } = this.#options;
    const { signal } = this.#closing;
    try {
      await known;
      requireWritable();
      await retention.apply(signal);
    } catch (error) {
      if (signal.aborted) return;
      const reason = error instanceof RegistryError ? error.message : error;
      logger.warn('retention was not applied', { reason });
    }
  }
}
