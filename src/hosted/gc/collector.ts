/**
 * Collects hosted repositories while they are pulled from and pushed to: decides over the log in memory, appends what goes as one line, and
 * lets the store remove what no repository links any more. A repository that changes in between is decided anew, so that nothing goes that
 * a push needs.
 */
import { TimeSlice } from '../../lib/time-slice.ts';
import { waitFor } from '../../lib/wait.ts';
import type { Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Repository } from '../../oci/name.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { CollectionObserver } from '../../telemetry/observer.ts';
import type { OnProgress } from '../../telemetry/progress.ts';
import {
  GenerationConflict,
  type HostedChange,
  type HostedLog,
  type HostedRepository,
} from '../log/hosted-log.ts';
import type { ReferenceCounts } from '../log/reference-counts.ts';
import { type Collection, type CollectionPolicy, collectionSteps, decideCollection } from './alive.ts';
import { type CollectionReport, type RepositoryCollection, reportCollection } from './collection-report.ts';

export interface CollectorOptions {
  readonly log: HostedLog;
  readonly references: Pick<ReferenceCounts, 'countOf'>;
  readonly owners: {
    /** Resolves when all that lost its last link is removed, or is the cache's. Never throws. */
    settled(): Promise<void>;
    /** What could not be removed at an earlier time is tried again. */
    releaseAgain(): void;
    /** Of these, the ones that the cache doesn't know. */
    notCached(digests: ReadonlyMap<Digest, number>): Promise<ReadonlyMap<Digest, number>>;
  };
  readonly policy: CollectionPolicy;
  /** Writes down which manifests were pulled lately. Never throws. */
  flushPulls(): Promise<void>;
  readonly observer: CollectionObserver;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
}

export interface CollectOptions {
  readonly dryRun: boolean;
}

/** What one run has dropped, or would. */
interface Run {
  readonly isDry: boolean;
  readonly repositories: RepositoryCollection[];
  readonly skipped: { readonly repository: string; readonly reason: string }[];
  /** Links that went, by digest: how many, and of what size. */
  readonly dropped: Map<Digest, { count: number; readonly bytes: number }>;
  blobs: number;
  freedBytes: number;
}

/** A repository that changes as often is left for the next run. */
const maxTries = 5;
/** More entries than that are decided in slices. */
const maxEntriesInOneTurn = 50_000;

export class Collector {
  readonly #options: CollectorOptions;
  #last: Promise<unknown> = Promise.resolve();
  #run: Run | undefined;

  constructor(options: CollectorOptions) {
    this.#options = options;
  }

  /**
   * One run at a time; another one waits. Errors: UNAVAILABLE while a log is damaged or not read yet; the signal's reason, and what was
   * dropped before stays dropped.
   */
  collect(options: CollectOptions, signal: AbortSignal, onProgress?: OnProgress): Promise<CollectionReport> {
    const running = this.#last.then(() => this.#collect(options, signal, onProgress));
    this.#last = running.catch(() => undefined); // its caller has the error
    return running;
  }

  /** The store has removed content that no repository links any more. */
  removed(digest: Digest, bytes: number): void {
    this.#options.observer.collected('blob', 1);
    this.#options.observer.freed(bytes);
    if (this.#run === undefined || this.#run.isDry || !this.#run.dropped.has(digest)) return;
    this.#run.blobs += 1;
    this.#run.freedBytes += bytes;
  }

  async #collect(
    { dryRun }: CollectOptions,
    signal: AbortSignal,
    onProgress?: OnProgress,
  ): Promise<CollectionReport> {
    const { log, owners, observer, logger, now, flushPulls } = this.#options;
    this.#requireKnown();
    await flushPulls();
    const run: Run = {
      isDry: dryRun,
      repositories: [],
      skipped: [],
      dropped: new Map(),
      blobs: 0,
      freedBytes: 0,
    };
    this.#run = run;
    try {
      const slice = new TimeSlice();
      const names = log.names();
      for (const [done, name] of names.entries()) {
        signal.throwIfAborted();
        this.#requireKnown();
        onProgress?.({ done, total: names.length, unit: 'repositories', note: name });
        await this.#collectOne(name, run, signal);
        await slice.pause();
      }
      if (dryRun) await this.#foresee(run);
      else {
        owners.releaseAgain();
        await waitFor(owners.settled(), signal);
      }
    } finally {
      this.#run = undefined;
    }
    const { repositories, skipped, blobs, freedBytes } = run;
    if (!dryRun) {
      observer.ended(now());
      logger.info('collected hosted repositories', {
        repositories: repositories.length,
        skipped: skipped.length,
        blobs,
        freedBytes,
      });
    }
    return { dryRun, repositories, skipped, blobs, freedBytes };
  }

  /** Errors: UNAVAILABLE. */
  #requireKnown(): void {
    const { log } = this.#options;
    if (!log.isComplete)
      throw new RegistryError('UNAVAILABLE', {
        message: 'the logs of hosted repositories are still being read',
      });
    const [closed] = log.closed().keys();
    if (closed === undefined) return;
    throw new RegistryError('UNAVAILABLE', {
      message: `nothing is collected while the log of ${closed} is damaged: run "cistern repair ${closed}" first`,
    });
  }

  async #collectOne(name: Repository, run: Run, signal: AbortSignal): Promise<void> {
    const skip = (reason: string): void => void run.skipped.push({ repository: name, reason });
    for (let tries = 1; tries <= maxTries; tries += 1) {
      signal.throwIfAborted();
      const repository = this.#options.log.peek(name);
      if (repository === undefined) return;
      const now = this.#options.now();
      const collection = await this.#decide(repository, now);
      if (collection === undefined) continue;
      const report = reportCollection(repository, collection);
      if (report === undefined) return;
      const sizes = sizesOf(repository, collection);
      try {
        if (!run.isDry) {
          for (const [digest, bytes] of sizes) note(run, digest, bytes); // before the store can tell that it went
          await this.#options.log.commit(name, changesOf(collection, now), repository.generation);
        }
      } catch (error) {
        for (const digest of sizes.keys()) forget(run, digest);
        if (error instanceof GenerationConflict) continue;
        if (!(error instanceof RegistryError)) throw error;
        skip(error.message);
        return;
      }
      if (run.isDry) for (const [digest, bytes] of sizes) note(run, digest, bytes);
      else this.#observe(report);
      run.repositories.push(report);
      return;
    }
    skip('it is changed all the time');
  }

  /** Undefined: the repository has changed in between. */
  async #decide(repository: HostedRepository, now: number): Promise<Collection | undefined> {
    const { policy, log } = this.#options;
    if (isSmall(repository)) return decideCollection(repository, now, policy);
    const slice = new TimeSlice();
    const steps = collectionSteps(repository, now, policy);
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value;
      await slice.pause();
      if (log.peek(repository.name)?.generation !== repository.generation) return undefined;
    }
  }

  /** What would be freed: content whose every link goes, and that the cache doesn't know. */
  async #foresee(run: Run): Promise<void> {
    const { references, owners } = this.#options;
    const unlinked = new Map<Digest, number>();
    for (const [digest, { count, bytes }] of run.dropped)
      if (count >= references.countOf(digest)) unlinked.set(digest, bytes);
    for (const bytes of (await owners.notCached(unlinked)).values()) {
      run.blobs += 1;
      run.freedBytes += bytes;
    }
  }

  #observe({ manifests, links }: RepositoryCollection): void {
    const { observer } = this.#options;
    observer.collected('manifest', manifests);
    observer.collected('link', links);
  }
}

/** Each link is an entry, which is most of them. */
function isSmall(repository: HostedRepository): boolean {
  let count = 0;
  for (const _ of repository.links()) {
    count += 1;
    if (count > maxEntriesInOneTurn) return false;
  }
  return true;
}

/** Of the links that go. */
function sizesOf(repository: HostedRepository, { manifests, links }: Collection): Map<Digest, number> {
  const sizes = new Map<Digest, number>();
  for (const digest of [...manifests.keys(), ...links]) {
    const link = repository.link(digest);
    if (link !== undefined) sizes.set(digest, link.size);
  }
  return sizes;
}

function note({ dropped }: Run, digest: Digest, bytes: number): void {
  const known = dropped.get(digest);
  if (known === undefined) dropped.set(digest, { count: 1, bytes });
  else known.count += 1;
}

function forget({ dropped }: Run, digest: Digest): void {
  const known = dropped.get(digest);
  if (known === undefined) return;
  known.count -= 1;
  if (known.count === 0) dropped.delete(digest);
}

function changesOf({ manifests, links }: Collection, at: number): HostedChange[] {
  const changes: HostedChange[] = [];
  for (const digest of manifests.keys()) changes.push({ type: 'drop-manifest', digest, at, how: 'collect' });
  for (const digest of links) changes.push({ type: 'unlink', digest, at, how: 'collect' });
  return changes;
}
