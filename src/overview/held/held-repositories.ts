/**
 * All repositories that are held, mirrored and hosted in one order, each only for those who may pull it. A name is decided about before its
 * repository is opened, so that a page opens the repositories that it shows and no others.
 */
import type { HostedLog } from '../../hosted/log/hosted-log.ts';
import { TimeSlice } from '../../lib/time-slice.ts';
import { waitFor } from '../../lib/wait.ts';
import { isRepository, type RepositoryPredicate } from '../../oci/name.ts';
import type { Caller } from '../../registry/caller.ts';
import { byText, firstAfter } from '../../registry/page.ts';
import type { Records } from '../../store/records/records.ts';
import type { HeldRepository } from './held-repository.ts';
import { PushedRepository } from './hosted-repository.ts';
import { MirroredRepository } from './mirrored-repository.ts';

export interface HeldRepositoriesOptions {
  readonly records: Pick<Records, 'allNames' | 'look'>;
  /** Who may know of a mirrored repository. */
  readonly mirrored: {
    mayPull(name: string, caller: Caller): Promise<boolean>;
    visibilityOf(name: string): Promise<'public' | 'private' | 'unknown'>;
  };
  readonly log: Pick<HostedLog, 'names' | 'readRepository'>;
  /** A caller without a login may pull it. */
  isOpen(hostedName: string): boolean;
  /** All logs have been read. */
  readonly logsRead: Promise<void>;
  /** A name that the configuration has given up is not served any more. */
  readonly isHosted: RepositoryPredicate;
}

export interface WalkOptions {
  readonly caller: Caller;
  readonly signal: AbortSignal;
  /** Begins with the first name at or after it. */
  readonly from?: string | undefined;
  /** By name, before anything else is asked about it. */
  isWanted?(name: string): boolean;
}

const namesPerLook = 500;

export class HeldRepositories {
  readonly #options: HeldRepositoriesOptions;
  #merged: { mirrored: readonly string[]; hosted: readonly string[]; all: readonly string[] } | undefined;

  constructor(options: HeldRepositoriesOptions) {
    this.#options = options;
  }

  /** Of all, seen by this caller or not; sorted by code units. Errors: `StoreError` scan; the signal's reason. */
  async names(signal: AbortSignal): Promise<readonly string[]> {
    const { records, log, logsRead, isHosted } = this.#options;
    await waitFor(logsRead, signal);
    const [mirrored, hosted] = [await waitFor(records.allNames(), signal), log.names()];
    if (this.#merged?.mirrored !== mirrored || this.#merged.hosted !== hosted) {
      const all = [...mirrored, ...hosted.filter(name => isHosted(name))].sort(byText);
      this.#merged = { mirrored, hosted, all };
    }
    return this.#merged.all;
  }

  /** The names that the caller may know of. Errors: as `names`. */
  async *visible({ caller, signal, from, isWanted }: WalkOptions): AsyncGenerator<string> {
    const names = await this.names(signal);
    const slice = new TimeSlice();
    for (let at = firstAtOrAfter(names, from); at < names.length; at += 1) {
      const name = names[at] ?? '';
      if (at % namesPerLook === 0) await slice.pause();
      signal.throwIfAborted();
      if (isWanted?.(name) === false || !(await this.mayPull(name, caller))) continue;
      yield name;
    }
  }

  mayPull(name: string, caller: Caller): Promise<boolean> {
    return this.#isOfLog(name)
      ? Promise.resolve(caller.mayPull(name, 'public'))
      : this.#options.mirrored.mayPull(name, caller);
  }

  visibilityOf(name: string): Promise<'public' | 'private' | 'unknown'> {
    const { mirrored, isOpen } = this.#options;
    if (!this.#isOfLog(name)) return mirrored.visibilityOf(name);
    return Promise.resolve(isOpen(name) ? 'public' : 'private');
  }

  /** Undefined: nothing is held of it. Whether the caller may know of it was decided before. Errors: those of the log. */
  async open(name: string): Promise<HeldRepository | undefined> {
    const { records, log } = this.#options;
    if (this.#isOfLog(name)) {
      const repository = isRepository(name) ? await log.readRepository(name) : undefined;
      return repository && new PushedRepository(repository);
    }
    const record = await records.look(name).catch(() => undefined); // a foreign folder, reported at the start
    return record && new MirroredRepository(record);
  }

  #isOfLog(name: string): boolean {
    return this.#options.isHosted(name);
  }
}

function firstAtOrAfter(names: readonly string[], from: string | undefined): number {
  if (from === undefined) return 0;
  const after = firstAfter(names, byText, from);
  return names[after - 1] === from ? after - 1 : after;
}
