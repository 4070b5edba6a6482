/**
 * Syncs of folders that many ask for at once, as the first pushes to new repositories do. All who ask while a sync of a folder runs share the
 * next one, which begins after they asked: the names that they made are in it.
 */
import { syncFolder } from './disk-files.ts';

export class FolderSyncs {
  readonly #running = new Map<string, Promise<void>>();
  /** Each begins when the one that runs has ended, either way. */
  readonly #next = new Map<string, Promise<void>>();

  /** Errors: those of `syncFolder`, for all who share it. */
  sync(path: string): Promise<void> {
    const running = this.#running.get(path);
    if (running === undefined) return this.#run(path);
    const next = this.#next.get(path) ?? this.#after(running, path);
    this.#next.set(path, next);
    return next;
  }

  async #after(running: Promise<void>, path: string): Promise<void> {
    await running.catch(() => undefined); // its own callers hear of it
    this.#next.delete(path);
    await this.#run(path);
  }

  #run(path: string): Promise<void> {
    const run = syncFolder(path).finally(() => {
      if (this.#next.has(path)) return; // that one takes its place
      this.#running.delete(path);
    });
    this.#running.set(path, run);
    return run;
  }
}
