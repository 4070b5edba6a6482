/**
 * Changes that the page began: each is a job that goes on when its client leaves, says how far it is, and is remembered for a day. A few run
 * at once, the others wait. The owner ends them at shutdown.
 */
import { randomBytes } from 'node:crypto';
import type { JobAnswer, JobResult } from '../../http/api/schema/actions.ts';
import type { ActionName } from '../../http/api/schema/session.ts';
import { ExpiringMap } from '../../lib/expiring-map.ts';
import { Limit, LimitExceeded } from '../../lib/limit.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Logger } from '../../telemetry/logger.ts';

export interface JobsOptions {
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
}

export interface NewJob {
  readonly action: ActionName;
  readonly images: readonly string[];
  readonly dryRun: boolean;
  readonly user: string | undefined;
}

/** What the work of a job says about itself. */
export interface JobProgress {
  /** `what`: of which `done` are done. */
  at(done: number, total: number | undefined, what: string): void;
  add(result: JobResult): void;
}

export type JobWork = (progress: JobProgress, signal: AbortSignal) => Promise<void>;

interface Job {
  answer: JobAnswer;
  /** When its listeners last heard of it. */
  toldMs: number;
}

type Listener = { readonly user: string | undefined; readonly onJob: (job: JobAnswer) => void };

const maxRunning = 4;
const maxWaiting = 100;
const maxKept = 500;
const keptMs = 24 * 3_600_000;
const tellEveryMs = 1000;

export class Jobs {
  readonly #options: JobsOptions;
  readonly #limit = new Limit({ maxRunning, maxWaiting });
  readonly #jobs: ExpiringMap<string, Job>;
  readonly #listeners = new Set<Listener>();
  readonly #running = new Set<Promise<void>>();
  readonly #closing = new AbortController();

  constructor(options: JobsOptions) {
    this.#options = options;
    this.#jobs = new ExpiringMap({ maxEntries: maxKept, ttlMs: keptMs, now: options.now });
  }

  /** The id. Errors of the work are results of the job. */
  begin({ user, ...job }: NewJob, work: JobWork): string {
    const id = randomBytes(12).toString('hex');
    const created: Job = {
      answer: {
        id,
        ...job,
        state: 'queued',
        user: user ?? null,
        createdAt: this.#time(),
        endedAt: null,
        progress: { done: 0, total: null, what: 'images' },
        results: [],
      },
      toldMs: -Infinity,
    };
    this.#jobs.set(id, created);
    const running = this.#limit
      .run(() => this.#run(created, work))
      .catch((error: unknown) => this.#end(created, error))
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
    return id;
  }

  /** Undefined: there is no such job, or it is forgotten. */
  get(id: string): JobAnswer | undefined {
    return this.#jobs.get(id)?.answer;
  }

  /** Hears of the jobs of that user. The answer ends it; idempotent. */
  listen(user: string | undefined, onJob: (job: JobAnswer) => void): () => void {
    const listener = { user, onJob };
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ends what runs. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort(new RegistryError('UNAVAILABLE', { message: 'the daemon is stopping' }));
    await Promise.all(this.#running);
    this.#listeners.clear();
  }

  async #run(job: Job, work: JobWork): Promise<void> {
    const { signal } = this.#closing;
    signal.throwIfAborted();
    this.#change(job, { state: 'running' });
    const progress: JobProgress = {
      at: (done, total, what) => this.#change(job, { progress: { done, total: total ?? null, what } }, false),
      add: result => this.#change(job, { results: [...job.answer.results, result] }, false),
    };
    await work(progress, signal);
    const isFailed = job.answer.results.some(({ error }) => error !== null);
    this.#change(job, { state: isFailed ? 'failed' : 'done', endedAt: this.#time() });
  }

  /** The work as a whole failed, or could not begin. */
  #end(job: Job, error: unknown): void {
    const results = [...job.answer.results, failure(null, error)];
    if (!(error instanceof RegistryError) && !(error instanceof LimitExceeded))
      this.#options.logger.error('unexpected error of a job', { action: job.answer.action, error });
    this.#change(job, { state: 'failed', endedAt: this.#time(), results });
  }

  /** Progress is told at most once a second. */
  #change(job: Job, change: Partial<JobAnswer>, isState = true): void {
    job.answer = { ...job.answer, ...change };
    const nowMs = this.#options.now();
    if (!isState && Math.abs(nowMs - job.toldMs) < tellEveryMs) return;
    job.toldMs = nowMs;
    for (const { user, onJob } of this.#listeners) if ((user ?? null) === job.answer.user) onJob(job.answer);
  }

  #time(): string {
    return new Date(this.#options.now()).toISOString();
  }
}

/** `image` null: the job as a whole. What isn't told to clients stays out of it. */
export function failure(image: string | null, error: unknown): JobResult {
  const known =
    error instanceof RegistryError
      ? { code: error.code, message: error.message }
      : error instanceof LimitExceeded
        ? { code: 'UNAVAILABLE', message: 'too many jobs wait: try again when some have ended' }
        : { code: 'UNKNOWN', message: 'unexpected error: the log of the daemon says more' };
  return { image, summary: known.message, freedBytes: null, fetchedBytes: null, tags: [], error: known };
}
