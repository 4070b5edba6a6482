/**
 * Files that belong together and may be replaced while the mirror runs, such as a certificate and its key. New contents count
 * once all files have been quiet for a moment and `judge` has nothing against them; until then the last good ones stay.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { WatchedFile } from '../config/watched-file.ts';

export interface SettledFilesOptions {
  /** Absolute. */
  readonly paths: readonly string[];
  /** What is wrong with these contents, in the order of `paths`; undefined: nothing. */
  judge(texts: readonly string[]): string | undefined;
  /** New contents don't count. Called once for the same contents. */
  onRefused(reason: string): void;
  /** One of the files can't be read. Called once until it can be read again. */
  onUnreadable(error: unknown): void;
  /** Milliseconds. */
  readonly quietMs: number;
}

export class SettledFiles {
  readonly #options: SettledFilesOptions;
  readonly #files: readonly WatchedFile<string>[];
  #texts: readonly string[] = [];
  #refused: readonly string[] = [];

  private constructor(options: SettledFilesOptions) {
    this.#options = options;
    this.#files = options.paths.map(
      path =>
        new WatchedFile({
          path,
          parse: text => text,
          onTrouble: error => options.onUnreadable(error),
          now: () => performance.now(),
        }),
    );
  }

  /** Errors: the first contents can't be read, or `judge` refuses them. */
  static async open(options: SettledFilesOptions): Promise<SettledFiles> {
    const files = new SettledFiles(options);
    const texts = await files.#read();
    const reason = options.judge(texts);
    if (reason !== undefined) throw new Error(`${options.paths[0]}: ${reason}`);
    files.#texts = texts;
    return files;
  }

  /** In the order of `paths`. */
  get texts(): readonly string[] {
    return this.#texts;
  }

  /** True: there are new contents. Errors: the signal's reason. */
  async check(signal: AbortSignal): Promise<boolean> {
    let texts = await this.#read();
    if (isSame(texts, this.#texts) || isSame(texts, this.#refused)) return false;
    for (;;) {
      await sleep(this.#options.quietMs, undefined, { signal });
      const later = await this.#read();
      if (isSame(later, texts)) break;
      texts = later;
    }
    if (isSame(texts, this.#texts)) return false;
    const reason = this.#options.judge(texts);
    if (reason !== undefined) {
      this.#refused = texts;
      this.#options.onRefused(reason);
      return false;
    }
    this.#texts = texts;
    this.#refused = [];
    return true;
  }

  #read(): Promise<readonly string[]> {
    return Promise.all(this.#files.map(file => file.current(0)));
  }
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((text, index) => text === other[index]);
}
