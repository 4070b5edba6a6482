/**
 * Re-hashes what is held, one pass at a time, however many ask for it. A bad cached file is set aside, and fetched again where an upstream
 * gives it; a bad hosted one is never touched: it is reported until a push of the right bytes replaces it. A pass that ended early goes on.
 */
import { type Timers, waitFor } from '../lib/wait.ts';
import type { Digest } from '../oci/digest.ts';
import type { ScrubFinding, ScrubReport, ScrubRequest, ScrubStatus } from '../registry/scrub-report.ts';
import type { ScrubFile, ScrubPosition, ScrubState } from '../store/scrub-file.ts';
import { StoreError } from '../store/store-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { ScrubObserver } from '../telemetry/observer.ts';
import type { OnProgress } from '../telemetry/progress.ts';
import { DamagedFiles } from './damaged-files.ts';
import { type Found, ScrubPass, type ScrubSource } from './scrub-pass.ts';

export interface ScrubOptions {
  readonly source: ScrubSource;
  readonly file: Pick<ScrubFile, 'read' | 'write'>;
  /** From memory: see `HotManifests.restore`. Absent: there is no memory. Errors: `StoreError`. */
  restore?(digest: Digest): Promise<boolean>;
  /** Of a file that was set aside. Absent: nothing can be fetched. Errors: the signal's reason. */
  fetchAgain?(digest: Digest, signal: AbortSignal): Promise<'fetched' | { readonly reason: string }>;
  /** Canonical names of some repositories that have it. Never throws. */
  repositoriesOf(digest: Digest): Promise<readonly string[]>;
  /** Unless a run asks for another one; 0: as fast as the disk reads. */
  readonly bytesPerSecond: number;
  readonly observer: ScrubObserver;
  readonly logger: Logger;
  readonly timers?: Timers;
  /** Milliseconds since the epoch. */
  now(): number;
}

type Finding = ScrubFinding & { readonly digest: Digest };

/** Those who wait for a pass. */
interface StartedRun {
  readonly stop: AbortController;
  readonly listeners: Set<OnProgress>;
  waiting: number;
  pass: ScrubPass | undefined;
}

interface Run extends StartedRun {
  readonly report: Promise<ScrubReport>;
}

const maxFindings = 1000;
/** A crash costs so much of the work. */
const saveEveryMs = 30_000;

export class Scrub {
  readonly #options: ScrubOptions;
  readonly #loaded: Promise<void>;
  readonly #damaged: DamagedFiles;
  #state: Omit<ScrubState, 'damaged'>;
  #run: Run | undefined;
  #savedMs = 0;

  /** Reads in the background where an earlier process was. */
  constructor(options: ScrubOptions) {
    this.#options = options;
    this.#damaged = new DamagedFiles(options);
    this.#state = { sinceMs: options.now(), position: undefined, endedMs: undefined };
    this.#loaded = this.#load();
  }

  /**
   * Joins the run that is under way, or begins one. It ends when all who wait for it have left. Errors: the signal's reason; `StoreError`
   * where nothing can be read or written.
   */
  async run(signal: AbortSignal, onProgress?: OnProgress, wanted: ScrubRequest = {}): Promise<ScrubReport> {
    await waitFor(this.#loaded, signal);
    while (this.#run?.stop.signal.aborted === true)
      await waitFor(
        this.#run.report.catch(() => undefined),
        signal,
      );
    const run = this.#run ?? this.#begin();
    if (wanted.bytesPerSecond !== undefined) run.pass?.pace(wanted.bytesPerSecond);
    run.waiting += 1;
    if (onProgress !== undefined) run.listeners.add(onProgress);
    try {
      return await waitFor(run.report, signal);
    } finally {
      run.waiting -= 1;
      if (onProgress !== undefined) run.listeners.delete(onProgress);
      if (run.waiting === 0) {
        run.stop.abort(new Error('no caller waits for this scrub'));
        await run.report.catch(() => undefined); // the position is written then
      }
    }
  }

  /** Whether a complete run is `everyMs` ago, or one was ended early. */
  async isDue(everyMs: number): Promise<boolean> {
    await this.#loaded;
    const { position, endedMs, sinceMs } = this.#state;
    return position !== undefined || this.#options.now() - (endedMs ?? sinceMs) >= everyMs;
  }

  async status(): Promise<ScrubStatus> {
    await this.#loaded;
    const { endedMs } = this.#state;
    const position = this.#run?.pass?.position;
    const damaged = await this.#damaged.describe();
    return {
      running: position === undefined ? null : describeRunning(position, this.#options.source.heldBytes()),
      endedAt: endedMs === undefined ? null : new Date(endedMs).toISOString(),
      damagedFiles: damaged.length,
      damaged,
    };
  }

  /** Hosted files that are damaged now. */
  async countDamaged(): Promise<number> {
    await this.#loaded;
    return this.#damaged.count();
  }

  /** Ends the run that is under way; the next process goes on with it. Idempotent. Never throws. */
  async close(): Promise<void> {
    await this.#loaded;
    this.#run?.stop.abort(new Error('the mirror is shutting down'));
    await this.#run?.report.catch(() => undefined);
  }

  async #load(): Promise<void> {
    const { file, logger } = this.#options;
    try {
      const found = await file.read();
      if (found === undefined) return await file.write({ ...this.#state, damaged: [] });
      const { damaged, ...state } = found;
      this.#state = state;
      this.#damaged.load(damaged);
    } catch (error) {
      logger.warn('where the scrub was is not known: it begins anew', { error });
    }
  }

  #begin(): Run {
    const started: StartedRun = {
      stop: new AbortController(),
      listeners: new Set(),
      waiting: 0,
      pass: undefined,
    };
    const report = this.#scrub(started).finally(() => {
      this.#run = undefined;
    });
    report.catch(() => undefined); // all who waited may have left
    this.#run = Object.assign(started, { report });
    return this.#run;
  }

  async #scrub(run: StartedRun): Promise<ScrubReport> {
    const { source, bytesPerSecond, observer, logger, now, timers } = this.#options;
    const from = this.#state.position ?? { startedMs: now(), after: undefined, files: 0, bytes: 0 };
    const findings: Finding[] = [];
    const pass = new ScrubPass({
      source,
      position: from,
      bytesPerSecond,
      compared: position => this.#compared(run, position),
      found: async found => {
        const finding = await this.#deal(found);
        if (findings.length < maxFindings) findings.push(finding);
      },
      ...(timers !== undefined && { timers }),
    });
    run.pass = pass;
    const count = () => ({
      files: pass.position.files - from.files,
      bytes: pass.position.bytes - from.bytes,
    });
    try {
      await pass.run(run.stop.signal);
      this.#state = { ...this.#state, position: undefined, endedMs: now() };
      observer.ended(now());
    } catch (error) {
      this.#state = { ...this.#state, position: pass.position };
      throw error;
    } finally {
      await this.#damaged.forgetHealed();
      await this.#save();
    }
    for (const [index, finding] of findings.entries())
      if (finding.result === 'set-aside') findings[index] = await this.#fetchAgain(finding, run.stop.signal);
    const damaged = await this.#damaged.describe();
    logger.info('held content was compared with its digests', {
      ...count(),
      findings: findings.length,
      damaged: damaged.length,
    });
    return { resumed: from.after !== undefined, ...count(), findings, damaged };
  }

  #compared(run: StartedRun, position: ScrubPosition): void {
    const { observer, source, now } = this.#options;
    observer.compared(position.bytes - (this.#state.position?.bytes ?? 0));
    this.#state = { ...this.#state, position };
    const total = Math.max(source.heldBytes(), position.bytes);
    const note = `${position.files} files`;
    for (const tell of run.listeners) tell({ done: position.bytes, total, unit: 'bytes', note });
    if (now() - this.#savedMs < saveEveryMs) return;
    void this.#save();
  }

  async #deal({ digest, problem, isHosted, fileId, bytes }: Found): Promise<Finding> {
    const { observer, repositoriesOf } = this.#options;
    const owner = isHosted ? 'hosted' : 'cached';
    const repositories = await repositoriesOf(digest);
    observer.found(owner, problem);
    const finding = { digest, bytes, owner, problem, repositories, reason: null } as const;
    if (await this.#isRestored(digest)) return { ...finding, result: 'restored' };
    if (!isHosted) return { ...finding, result: 'set-aside' };
    this.#damaged.add({ digest, fileId, problem }, repositories);
    await this.#save(); // at once: after a restart the file must not be given out
    return { ...finding, result: 'kept' };
  }

  /** After the pass: a pull reads the manifests that name a blob, and would find the bad ones among them. Errors: the signal's reason. */
  async #fetchAgain(finding: Finding, signal: AbortSignal): Promise<Finding> {
    const { observer, fetchAgain } = this.#options;
    const fetched = (await fetchAgain?.(finding.digest, signal)) ?? { reason: 'no daemon runs' };
    if (fetched !== 'fetched') return { ...finding, reason: fetched.reason };
    observer.fetchedAgain();
    return { ...finding, result: 'fetched' };
  }

  async #isRestored(digest: Digest): Promise<boolean> {
    try {
      return (await this.#options.restore?.(digest)) ?? false;
    } catch (error) {
      if (error instanceof StoreError) return false; // the store has reported it
      throw error;
    }
  }

  async #save(): Promise<void> {
    const { file, logger, now } = this.#options;
    this.#savedMs = now();
    try {
      await file.write({ ...this.#state, damaged: this.#damaged.list() });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      logger.warn('where the scrub is could not be written', { error });
    }
  }
}

function describeRunning(
  { startedMs, files, bytes }: ScrubPosition,
  heldBytes: number,
): NonNullable<ScrubStatus['running']> {
  return { startedAt: new Date(startedMs).toISOString(), files, bytes, heldBytes };
}
