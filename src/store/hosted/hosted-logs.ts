/**
 * Where the logs of the hosted repositories are: finds all of them after a start, and opens one by its name. A folder that can't be read
 * is told, because repositories may lie in it.
 */
import { readdir } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { FolderSyncs } from '../folder-syncs.ts';
import type { StoreLayout } from '../layout.ts';
import { guardDisk, ignoreMissing, StoreError, type StoreObserver } from '../store-error.ts';
import { LogFile } from './log-file.ts';
import { type SalvagedLog, salvageLog } from './salvaged-log.ts';

export interface HostedLogsOptions {
  readonly layout: StoreLayout;
  readonly observer: StoreObserver;
}

export type FoundLog =
  | { readonly kind: 'log'; readonly repository: string }
  /** Relative to the folder of all logs: empty for that one. */
  | { readonly kind: 'unreadable'; readonly folder: string; readonly error: StoreError };

/** Any of them says that there is, or was, a log. */
const logNames: ReadonlySet<string> = new Set(['_repository', '_length']);

export class HostedLogs {
  readonly #options: HostedLogsOptions;
  readonly #folders = new FolderSyncs();

  constructor(options: HostedLogsOptions) {
    this.#options = options;
  }

  /** In no order, each once. Never throws. */
  async *find(): AsyncGenerator<FoundLog> {
    const root = this.#options.layout.hostedFolder;
    const folders = [root];
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      const name = relative(root, folder).split(sep).join('/');
      const entries = await this.#list(folder);
      if (entries instanceof StoreError) {
        yield { kind: 'unreadable', folder: name, error: entries };
        continue;
      }
      if (entries.some(entry => logNames.has(entry.name))) yield { kind: 'log', repository: name };
      for (const entry of entries)
        if (entry.isDirectory() && !entry.name.startsWith('_')) folders.push(join(folder, entry.name));
    }
  }

  /** Nothing is read yet. Errors: NAME_INVALID. */
  open(repository: string): LogFile {
    return new LogFile({ ...this.#options, folders: this.#folders, repository });
  }

  /** Where the damaged log of that repository stays. Errors: NAME_INVALID. */
  damagedPath(repository: string, nowMs: number): string {
    return this.#options.layout.hostedDamagedPath(repository, nowMs);
  }

  /** What can still be read of a damaged log. Errors: NAME_INVALID. */
  salvage(repository: string): Promise<SalvagedLog> {
    return salvageLog(this.#options.layout, repository);
  }

  async #list(folder: string) {
    try {
      const reading = () => readdir(folder, { withFileTypes: true }).catch(ignoreMissing);
      return (await guardDisk(this.#options.observer, 'scan', reading)) ?? [];
    } catch (error) {
      if (error instanceof StoreError) return error;
      throw error;
    }
  }
}
