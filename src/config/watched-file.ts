/**
 * A file that may change while the daemon runs, such as htpasswd: read again when its size, times or inode say so, looked
 * at at most once a second. While it can't be read, what it said last counts.
 */
import { readFile, stat } from 'node:fs/promises';

export interface WatchedFileOptions<T> {
  readonly path: string;
  parse(text: string): T;
  /** It can't be read any more, or again; once for each change of that. */
  onTrouble(error: unknown): void;
  /** Milliseconds, for how often to look. */
  now(): number;
}

const lookEveryMs = 1000;

export class WatchedFile<T> {
  readonly #options: WatchedFileOptions<T>;
  #value: T | undefined;
  #version: string | undefined;
  #lookedAt: number | undefined;
  #looking: Promise<void> | undefined;
  #isTroubled = false;

  constructor(options: WatchedFileOptions<T>) {
    this.#options = options;
  }

  /** Errors: that of the first reading, if there has never been a good one. */
  async current(): Promise<T> {
    const now = this.#options.now();
    const ageMs = this.#lookedAt === undefined ? lookEveryMs : now - this.#lookedAt;
    if (ageMs >= lookEveryMs || ageMs < 0) {
      this.#looking ??= this.#look().finally(() => {
        this.#lookedAt = now;
        this.#looking = undefined;
      });
    }
    await this.#looking;
    if (this.#value === undefined) throw new Error(`${this.#options.path} could not be read yet`);
    return this.#value;
  }

  async #look(): Promise<void> {
    const { path, parse, onTrouble } = this.#options;
    try {
      const { mtimeMs, ctimeMs, size, ino } = await stat(path);
      const version = [mtimeMs, ctimeMs, size, ino].join(' ');
      if (version !== this.#version) {
        this.#value = parse(await readFile(path, 'utf8'));
        this.#version = version;
      }
      this.#isTroubled = false;
    } catch (error) {
      if (!this.#isTroubled) onTrouble(error);
      this.#isTroubled = true;
      if (this.#value === undefined) throw error;
    }
  }
}
