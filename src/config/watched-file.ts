/**
 * A file that may change while the daemon runs, such as htpasswd. It is checked at most once a second and read again when its
 * size, times or inode have changed. While it can't be read, the last good content counts.
 */
import { readFile, stat } from 'node:fs/promises';

export interface WatchedFileOptions<T> {
  readonly path: string;
  /** Counts until the file has been read. */
  readonly initial?: T;
  parse(text: string): T | Promise<T>;
  /** It can't be read, or not parsed. Called once until it can be read again. */
  onTrouble(error: unknown): void;
  /** Milliseconds. */
  now(): number;
}

const checkEveryMs = 1000;

export class WatchedFile<T> {
  readonly #options: WatchedFileOptions<T>;
  #value: T | undefined;
  #version: string | undefined;
  #checkedAt: number | undefined;
  #checking: Promise<void> | undefined;
  #isTroubled = false;

  constructor(options: WatchedFileOptions<T>) {
    this.#options = options;
    this.#value = options.initial;
  }

  /** `maxAgeMs`: of the last look at the file. Errors: that of the first reading, if there has never been a good one. */
  async current(maxAgeMs = checkEveryMs): Promise<T> {
    const now = this.#options.now();
    const ageMs = this.#checkedAt === undefined ? maxAgeMs : now - this.#checkedAt;
    if (ageMs >= maxAgeMs || ageMs < 0) {
      this.#checking ??= this.#check().finally(() => {
        this.#checkedAt = now;
        this.#checking = undefined;
      });
    }
    await this.#checking;
    if (this.#value === undefined) throw new Error(`${this.#options.path} has not been read yet`);
    return this.#value;
  }

  async #check(): Promise<void> {
    const { path, parse, onTrouble } = this.#options;
    try {
      const { mtimeMs, ctimeMs, size, ino } = await stat(path);
      const version = [mtimeMs, ctimeMs, size, ino].join(' ');
      if (version !== this.#version) {
        this.#value = await parse(await readFile(path, 'utf8'));
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
