/**
 * All hosted repositories of a store, over one append-only log each. The logs are read in the background after the start; one that is
 * asked for before is read at once. All of them stay in memory.
 */
import { Limit } from '../../lib/limit.ts';
import { isRepository, type Repository } from '../../oci/name.ts';
import type { HostedLogs } from '../../store/hosted/hosted-logs.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { CommitScope, HostedChange, HostedLog, HostedRepository, Turn } from './hosted-log.ts';
import type { ReferenceCounts } from './reference-counts.ts';
import { closedError, RepositoryLog } from './repository-log.ts';
import type { LinkEvents } from './repository-state.ts';

export interface LoggedRepositoriesOptions {
  readonly logs: HostedLogs;
  readonly references: ReferenceCounts;
  /** Further listeners to the links and tags of a repository. */
  readonly watch?: (name: Repository) => readonly LinkEvents[];
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** Logs read at once after the start. */
const readsAtOnce = 4;

export class LoggedRepositories implements HostedLog {
  /** Resolves when all logs have been read, damaged ones too, or `close` was called. Never rejects. */
  readonly complete: Promise<void>;
  readonly #options: LoggedRepositoriesOptions;
  readonly #logs = new Map<Repository, RepositoryLog>();
  readonly #opening = new Map<Repository, Promise<RepositoryLog>>();
  readonly #closed = new Map<Repository, string>();
  /** Names of folders that can't be read: anything in them may be a repository. */
  readonly #closedFolders = new Set<string>();
  readonly #found: Promise<ReadonlySet<Repository>>;
  #names: readonly Repository[] | undefined;
  #isComplete = false;
  #isClosing = false;

  constructor(options: LoggedRepositoriesOptions) {
    this.#options = options;
    this.#found = this.#find();
    this.complete = this.#readAll();
  }

  get isComplete(): boolean {
    return this.#isComplete;
  }

  names(): readonly Repository[] {
    if (this.#names === undefined) {
      const names: Repository[] = [];
      for (const [name, log] of this.#logs) if (log.isThere) names.push(name);
      this.#names = names.sort();
    }
    return this.#names;
  }

  async readRepository(name: Repository): Promise<HostedRepository | undefined> {
    const found = await this.#found;
    if (this.#isInClosedFolder(name)) throw closedError(name);
    const log = this.#logs.get(name) ?? (found.has(name) ? await this.#open(name) : undefined);
    if (log?.problem !== undefined) throw closedError(name);
    return log?.exists === true ? log.view() : undefined;
  }

  peek(name: Repository): HostedRepository | undefined {
    const log = this.#logs.get(name);
    return log?.problem === undefined && log?.exists === true ? log.view() : undefined;
  }

  async commit(
    name: Repository,
    changes: readonly HostedChange[],
    expectedGeneration?: number,
    scope?: CommitScope,
  ): Promise<HostedRepository> {
    const log = this.#logs.get(name) ?? (await this.#openForCommit(name));
    const wasThere = log.isThere;
    const repository = await log.commit(changes, expectedGeneration, scope);
    if (log.isThere !== wasThere) this.#names = undefined;
    return repository;
  }

  async takeTurn(name: Repository): Promise<Turn> {
    const log = this.#logs.get(name) ?? (await this.#openForCommit(name));
    if (log.problem !== undefined) throw closedError(name);
    return log.takeTurn();
  }

  closed(): ReadonlyMap<Repository, string> {
    return this.#closed;
  }

  /** Reads the log of a closed repository again, after a repair. Errors: NAME_INVALID. */
  async reopen(name: Repository): Promise<void> {
    if (this.#closed.has(name)) await this.#read(name);
  }

  /** Idempotent. Commits that run are finished. Never throws. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.complete;
    await Promise.all(Array.from(this.#logs.values(), log => log.close()));
  }

  async #openForCommit(name: Repository): Promise<RepositoryLog> {
    await this.#found;
    if (this.#isInClosedFolder(name)) throw closedError(name);
    return this.#logs.get(name) ?? this.#open(name);
  }

  /** Errors: NAME_INVALID. */
  #open(name: Repository): Promise<RepositoryLog> {
    const opening = this.#opening.get(name) ?? this.#read(name).finally(() => this.#opening.delete(name));
    this.#opening.set(name, opening);
    return opening;
  }

  async #read(name: Repository): Promise<RepositoryLog> {
    const { logs, references, watch, logger, now } = this.#options;
    const links = toAll([references, ...(watch?.(name) ?? [])]);
    const log = await RepositoryLog.open({ name, file: logs.open(name), links, logger, now });
    this.#logs.set(name, log);
    this.#names = undefined;
    if (log.problem === undefined) this.#closed.delete(name);
    else this.#closed.set(name, log.problem);
    return log;
  }

  async #find(): Promise<ReadonlySet<Repository>> {
    const { logs, logger } = this.#options;
    const names = new Set<Repository>();
    for await (const found of logs.find()) {
      if (found.kind === 'unreadable') this.#closeFolder(found.folder, found.error.message);
      else if (isRepository(found.repository)) names.add(found.repository);
      else logger.warn('ignoring a foreign folder among the hosted repositories', { name: found.repository });
    }
    return names;
  }

  #closeFolder(folder: string, problem: string): void {
    this.#options.logger.error('a folder of hosted repositories can not be read', { folder, problem });
    this.#closedFolders.add(folder);
    const name = folder === '' ? 'hosted-v1' : folder;
    if (isRepository(name)) this.#closed.set(name, problem);
  }

  #isInClosedFolder(name: Repository): boolean {
    for (const folder of this.#closedFolders)
      if (folder === '' || name === folder || name.startsWith(`${folder}/`)) return true;
    return false;
  }

  async #readAll(): Promise<void> {
    const names = await this.#found;
    const limit = new Limit({ maxRunning: readsAtOnce });
    const read = async (name: Repository) => {
      if (!this.#isClosing && !this.#logs.has(name)) await this.#open(name);
    };
    await Promise.all(Array.from(names, name => limit.run(() => read(name))));
    this.#isComplete = !this.#isClosing;
  }
}

function toAll(listeners: readonly LinkEvents[]): LinkEvents {
  return {
    linked: (digest, size) => {
      for (const listener of listeners) listener.linked(digest, size);
    },
    unlinked: digest => {
      for (const listener of listeners) listener.unlinked(digest);
    },
    tagsChanged: by => {
      for (const listener of listeners) listener.tagsChanged?.(by);
    },
  };
}
