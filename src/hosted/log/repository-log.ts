/**
 * The log of one hosted repository and its state in memory. A commit is on the disk before it is in memory, and in memory before it is
 * answered. Those that come while one is written share the next write and sync, unless one was decided by what another changes. A log with
 * damage is closed: nothing is read from it or written to it.
 */
import { setImmediate as nextTick } from 'node:timers/promises';
import { RegistryError } from '../../oci/error.ts';
import type { Repository } from '../../oci/name.ts';
import type { LogFile } from '../../store/hosted/log-file.ts';
import { StoreError } from '../../store/store-error.ts';
import type { Logger } from '../../telemetry/logger.ts';
import {
  type CommitScope,
  type DecidedBy,
  GenerationConflict,
  type HostedChange,
  type HostedRepository,
  type Turn,
} from './hosted-log.ts';
import { formatLogLine, parseLogLine } from './log-line.ts';
import { countsAsCommit, type LinkEvents, RepositoryState } from './repository-state.ts';
import { RepositoryView } from './repository-view.ts';
import { Touched } from './touched.ts';

export interface RepositoryLogOptions {
  readonly name: Repository;
  readonly file: LogFile;
  readonly links: LinkEvents;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
}

interface Commit {
  readonly changes: readonly HostedChange[];
  readonly touched: Touched;
  readonly resolve: (repository: HostedRepository) => void;
  readonly reject: (error: unknown) => void;
}

/** Of so many commits it is known what they changed. One that was decided before them is decided anew. */
const knownCommits = 256;
const compactAboveBytes = 64 * 1024;
/** Applying so many lines takes a few milliseconds; other requests run after them. */
const linesPerTick = 256;

export class RepositoryLog {
  readonly #options: RepositoryLogOptions;
  readonly #state: RepositoryState;
  readonly #foreign: unknown[];
  readonly #problem: string | undefined;
  #view: HostedRepository;
  #queue: Commit[] = [];
  /** Of these, and of the queue, all come before any commit that is decided now. */
  #batch: readonly Commit[] = [];
  /** The last ones that were written, and the generation since then. */
  #written: { readonly generation: number; readonly touched: Touched }[] = [];
  #turn: Turn | undefined;
  #turnEnds: Promise<void> = Promise.resolve();
  #running: Promise<void> | undefined;
  /** Of the file after a rewrite; until the first one, a guess. */
  #usefulBytes: number;

  /** Resolves also when the log is damaged or can't be read: `problem` tells. */
  static async open(options: RepositoryLogOptions): Promise<RepositoryLog> {
    const { file, name, logger, links } = options;
    const found = await readState(file).catch((error: unknown) => {
      if (!(error instanceof StoreError)) throw error;
      return { state: new RepositoryState(), foreign: [], problem: error.message, tornBytes: 0 };
    });
    const { problem, state, tornBytes } = found;
    if (tornBytes > 0 && problem === undefined)
      logger.warn('dropping the last line of a hosted log, which a crash tore', {
        repository: name,
        tornBytes,
      });
    if (problem !== undefined) {
      const fix = `cistern repair ${name}`;
      logger.error('a hosted repository is closed: its log is damaged', { repository: name, problem, fix });
    } else {
      state.listen(links);
    }
    return new RepositoryLog(options, found);
  }

  private constructor(options: RepositoryLogOptions, found: ReadState) {
    this.#options = options;
    this.#state = found.state;
    this.#view = new RepositoryView(options.name, found.state);
    this.#foreign = found.foreign;
    this.#problem = found.problem;
    this.#usefulBytes = options.file.bytes / 2;
  }

  /** Why it is closed. Undefined: it is not. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** There was a commit, if only of what is gone by now. */
  get exists(): boolean {
    return this.#options.file.bytes > 0;
  }

  /** It has a manifest or a link, or is closed. */
  get isThere(): boolean {
    return this.#problem !== undefined || this.#state.isThere;
  }

  /** One object per generation. */
  view(): HostedRepository {
    if (this.#view.generation !== this.#state.generation)
      this.#view = new RepositoryView(this.#options.name, this.#state);
    return this.#view;
  }

  /** Errors: UNAVAILABLE; `GenerationConflict`. */
  async commit(
    changes: readonly HostedChange[],
    expectedGeneration?: number,
    { by, turn }: CommitScope = {},
  ): Promise<HostedRepository> {
    while (this.#turn !== undefined && this.#turn !== turn) await this.#turnEnds;
    const { name } = this.#options;
    if (this.#problem !== undefined) throw closedError(name);
    if (expectedGeneration !== undefined && !this.#isFirst(expectedGeneration, by))
      throw new GenerationConflict(name);
    if (changes.length === 0) return this.view();
    const touched = Touched.by(changes, this.#view);
    return new Promise((resolve, reject) => {
      this.#queue.push({ changes, touched, resolve, reject });
      this.#running ??= Promise.resolve().then(() => this.#writeAll());
    });
  }

  /** See `HostedLog`. */
  async takeTurn(): Promise<Turn> {
    while (this.#turn !== undefined) await this.#turnEnds;
    let end = (): void => {};
    this.#turnEnds = new Promise(resolve => {
      end = resolve;
    });
    const turn: Turn = {
      giveBack: () => {
        this.#turn = undefined;
        end();
      },
    };
    this.#turn = turn;
    while (this.#running !== undefined) await this.#running;
    return turn;
  }

  /** Resolves when every commit is answered. Never throws. */
  async close(): Promise<void> {
    await this.#running;
    await this.#options.file.close();
  }

  /** Ends in the turn in which the queue is found empty: a later commit starts it again. */
  async #writeAll(): Promise<void> {
    try {
      while (this.#queue.length > 0) {
        const batch = this.#queue;
        this.#queue = [];
        this.#batch = batch;
        await this.#write(batch);
        if (this.#isMostlyOutdated) await this.#compact();
      }
    } finally {
      this.#running = undefined;
    }
  }

  async #write(batch: readonly Commit[]): Promise<void> {
    const { file, logger, name } = this.#options;
    let failure: unknown;
    try {
      await file.append(batch.map(({ changes }) => formatLogLine(changes)));
      for (const { changes, touched } of batch) this.#apply(changes, touched);
    } catch (error) {
      const isDisk = error instanceof StoreError;
      if (isDisk) logger.error('a hosted log could not be written', { repository: name, error });
      failure = isDisk ? unwritableError(error) : error;
    }
    this.#batch = [];
    const view = this.view();
    for (const { resolve, reject } of batch) {
      if (failure === undefined) resolve(view);
      else reject(failure);
    }
  }

  #apply(changes: readonly HostedChange[], touched: Touched): void {
    this.#state.apply(changes);
    if (!changes.some(countsAsCommit)) return;
    this.#written.push({ generation: this.#state.generation, touched });
    if (this.#written.length >= 2 * knownCommits) this.#written = this.#written.slice(-knownCommits);
  }

  /** No other commit has changed, or will change first, what that one was decided by. */
  #isFirst(expectedGeneration: number, by: DecidedBy | undefined): boolean {
    const { generation } = this.#state;
    const waiting = [...this.#batch, ...this.#queue];
    if (by === undefined)
      return (
        expectedGeneration === generation && !waiting.some(({ changes }) => changes.some(countsAsCommit))
      );
    const isKnown = expectedGeneration >= (this.#written[0]?.generation ?? generation + 1) - 1;
    const later = this.#written.filter(commit => commit.generation > expectedGeneration);
    return isKnown && ![...waiting, ...later].some(({ touched }) => touched.concerns(by));
  }

  get #isMostlyOutdated(): boolean {
    const { bytes } = this.#options.file;
    return bytes > compactAboveBytes && bytes > 2 * this.#usefulBytes;
  }

  /** Commits wait meanwhile. A failure costs no more than the room on the disk. */
  async #compact(): Promise<void> {
    const { file, logger, name, now } = this.#options;
    this.#state.forgetOldTags(now());
    const before = file.bytes;
    try {
      await file.replace(this.#lines());
      logger.debug('hosted log rewritten', { repository: name, before, after: file.bytes });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      logger.warn('a hosted log could not be rewritten', { repository: name, error });
    }
    this.#usefulBytes = file.bytes; // after a failure too: the next try comes when the file is twice as long
  }

  *#lines(): Iterable<unknown> {
    yield* this.#foreign;
    for (const change of this.#state.toChanges()) yield formatLogLine([change]);
  }
}

interface ReadState {
  readonly state: RepositoryState;
  readonly foreign: unknown[];
  readonly problem: string | undefined;
  readonly tornBytes: number;
}

/** What the right lines of a log say. Errors: `StoreError` record. */
async function readState(file: LogFile): Promise<ReadState> {
  const { values, damage, tornBytes } = await file.read();
  const state = new RepositoryState();
  const foreign: unknown[] = [];
  let problem = damage;
  for (const [index, value] of values.entries()) {
    if (index % linesPerTick === linesPerTick - 1) await nextTick();
    const line = parseLogLine(value);
    if (line === undefined) problem ??= `a line of ${file.path} is malformed`;
    else state.apply(line.changes);
    if (line?.foreign !== undefined) foreign.push(line.foreign);
  }
  return { state, foreign, problem, tornBytes };
}

export function closedError(name: Repository): RegistryError {
  const message = `${name} is closed, because its log is damaged: the operator of this registry has to run "cistern repair ${name}"`;
  return new RegistryError('UNAVAILABLE', { message });
}

function unwritableError(cause: StoreError): RegistryError {
  const reason = cause.isFull ? 'its disk is full' : 'its disk does not take the change';
  return new RegistryError('UNAVAILABLE', {
    message: `nothing was changed: ${reason}, try again later`,
    cause,
  });
}
