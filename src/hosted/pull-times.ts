/**
 * When manifests were last pulled, to the hour, for `untagged_ttl` and retention. A pull only leaves a note in memory; notes are written in
 * the background, all of a repository in one line. A crash loses those of the last minute.
 */
import { systemTimers, type Timers } from '../lib/wait.ts';
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/name.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { HostedChange, HostedLog } from './log/hosted-log.ts';

export interface PullTimesOptions {
  readonly log: Pick<HostedLog, 'commit'>;
  readonly logger: Logger;
  readonly timers?: Timers;
  /** Milliseconds since the epoch. */
  now(): number;
}

const stepMs = 3_600_000;
const writeAfterMs = 60_000;
/** Further pulls are noted after the next write: they come again within the hour, or were the only one. */
const maxNotes = 10_000;

export class PullTimes {
  readonly #options: PullTimesOptions;
  #notes = new Map<Repository, Map<Digest, number>>();
  #count = 0;
  #withdraw: (() => void) | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: PullTimesOptions) {
    this.#options = options;
  }

  /** `pulledAt`: as the log has it. Synchronous, and nothing at all within the same hour. */
  pulled(name: Repository, digest: Digest, pulledAt: number | undefined): void {
    const nowMs = this.#options.now();
    if (nowMs - (pulledAt ?? 0) < stepMs || this.#count >= maxNotes) return;
    let notes = this.#notes.get(name);
    if (notes === undefined) {
      notes = new Map();
      this.#notes.set(name, notes);
    }
    if (notes.has(digest)) return;
    notes.set(digest, Math.floor(nowMs / stepMs) * stepMs);
    this.#count += 1;
    this.#withdraw ??= (this.#options.timers ?? systemTimers).after(writeAfterMs, () => void this.flush());
  }

  /** Resolves when all that was noted until now is in the log, or can't be written. Never throws. */
  flush(): Promise<void> {
    this.#withdraw?.();
    this.#withdraw = undefined;
    const notes = this.#notes;
    this.#notes = new Map();
    this.#count = 0;
    this.#writing = this.#writing.then(() => this.#write(notes));
    return this.#writing;
  }

  async #write(notes: ReadonlyMap<Repository, ReadonlyMap<Digest, number>>): Promise<void> {
    const { log, logger } = this.#options;
    for (const [name, times] of notes) {
      const changes = Array.from(times, ([digest, at]): HostedChange => ({ type: 'pulled', digest, at }));
      try {
        await log.commit(name, changes);
      } catch (error) {
        logger.debug('times of pulls were not noted', { repository: name, error });
      }
    }
  }
}
