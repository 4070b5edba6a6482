/**
 * One sample a second of what runs now, for all open pages together: taken while one of them listens, and handed to each as far as its caller
 * may know of it. Nothing is sampled while nothing listens.
 */
import type { SampleEvent, TransfersAnswer } from '../../http/api/schema/transfers.ts';
import type { Timers } from '../../lib/wait.ts';
import type { Caller } from '../../registry/caller.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { HeldRepositories } from '../held/held-repositories.ts';

/** With every name; `at` is when it was taken. */
export type FullSample = SampleEvent;

export interface LiveSamplesOptions {
  read(): Promise<FullSample>;
  readonly repositories: Pick<HeldRepositories, 'mayPull'>;
  readonly timers: Timers;
  readonly logger: Logger;
}

export interface LiveListener {
  readonly caller: Caller;
  /** A sample as JSON, for this caller. */
  onSample(json: string): void;
  /** No sample comes any more: the daemon is stopping. */
  onEnd(): void;
}

const everyMs = 1000;

export class LiveSamples {
  readonly #options: LiveSamplesOptions;
  readonly #listeners = new Set<LiveListener>();
  #withdraw: (() => void) | undefined;
  #last: FullSample | undefined;
  #isSampling = false;
  #isClosed = false;
  /** How many were taken, ever. */
  taken = 0;

  constructor(options: LiveSamplesOptions) {
    this.#options = options;
  }

  /** The first sample comes at once, if it is one that others got a moment ago. The answer ends it; idempotent. */
  listen(listener: LiveListener): () => void {
    if (this.#isClosed) listener.onEnd();
    this.#listeners.add(listener);
    if (this.#listeners.size === 1 && !this.#isClosed) void this.#sample();
    else if (this.#last !== undefined) void this.#tell(this.#last, [listener]);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#withdraw?.();
      this.#withdraw = undefined;
      this.#last = undefined;
    };
  }

  /** What runs now, for one caller. */
  async transfers(caller: Caller): Promise<TransfersAnswer> {
    return (await this.#visibleTo(caller, (await this.#options.read()).transfers)).transfers;
  }

  /** Nothing is sampled any more, and who listens is told. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#withdraw?.();
    for (const listener of [...this.#listeners]) listener.onEnd();
    this.#listeners.clear();
  }

  async #sample(): Promise<void> {
    const { read, timers, logger } = this.#options;
    if (this.#isSampling) return; // it goes on by itself while anything listens
    this.#isSampling = true;
    try {
      this.taken += 1;
      this.#last = await read();
      await this.#tell(this.#last, [...this.#listeners]);
    } catch (error) {
      logger.warn('a sample for the page could not be taken', { error });
    } finally {
      this.#isSampling = false;
    }
    if (this.#isClosed || this.#listeners.size === 0) return;
    this.#withdraw?.();
    this.#withdraw = timers.after(everyMs, () => void this.#sample());
  }

  /** Listeners who may see the same get the same text. */
  async #tell(sample: FullSample, listeners: readonly LiveListener[]): Promise<void> {
    const texts = new Map<string, string>();
    for (const listener of listeners) {
      const { key, transfers } = await this.#visibleTo(listener.caller, sample.transfers);
      const json = texts.get(key) ?? JSON.stringify({ ...sample, transfers });
      texts.set(key, json);
      if (this.#listeners.has(listener)) listener.onSample(json);
    }
  }

  /** `key`: which of them have their names. */
  async #visibleTo(
    caller: Caller,
    { downloads, uploads }: TransfersAnswer,
  ): Promise<{ readonly key: string; readonly transfers: TransfersAnswer }> {
    let key = '';
    const may = async (name: string | null): Promise<boolean> => {
      const isVisible = name !== null && (await this.#options.repositories.mayPull(name, caller));
      key += isVisible ? '1' : '0';
      return isVisible;
    };
    const transfers = { downloads: [...downloads], uploads: [...uploads] };
    for (const [at, download] of downloads.entries())
      if (!(await may(download.repository)))
        transfers.downloads[at] = { ...download, digest: null, repository: null };
    for (const [at, upload] of uploads.entries())
      if (!(await may(upload.repository)))
        transfers.uploads[at] = { ...upload, repository: null, user: null };
    return { key, transfers };
  }
}
