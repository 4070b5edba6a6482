/**
 * A text file outside the store that lines are appended to (the audit log). Lines of one turn go out in one write, in order,
 * without keeping a request waiting. What a disk doesn't take is kept up to a bound; the newest lines are dropped above it.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { guardDisk, type StoreObserver } from './store-error.ts';

export interface LineFileOptions {
  readonly path: string;
  readonly observer: StoreObserver;
  /** A write failed, and the lines are tried again with the next one; or (`dropped`) so many were dropped since. */
  onTrouble(error: unknown, dropped: number): void;
}

/** Characters. */
const maxWaiting = 8 * 1024 * 1024;

export class LineFile {
  readonly #options: LineFileOptions;
  #handle: FileHandle | undefined;
  #lines: string[] = [];
  #waiting = 0;
  #dropped = 0;
  #failing = false;
  /** The last line may be torn. */
  #isTorn = false;
  #isReopening = false;
  #writing: Promise<void> | undefined;

  constructor(options: LineFileOptions) {
    this.#options = options;
  }

  /** `line` with its line feed. Never throws. */
  write(line: string): void {
    if (this.#waiting + line.length > maxWaiting) {
      this.#dropped += 1;
      return;
    }
    this.#lines.push(line);
    this.#waiting += line.length;
    this.#start();
  }

  /** The next line goes to the file that then has this path: the old one was renamed. */
  reopen(): void {
    this.#isReopening = true;
    this.#start();
  }

  /** Resolves when all lines are written, or a write has failed. */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
  }

  async close(): Promise<void> {
    this.#start();
    await this.flush();
    await this.#handle?.close();
    this.#handle = undefined;
  }

  #start(): void {
    this.#writing ??= Promise.resolve()
      .then(() => this.#writeAll())
      .finally(() => {
        this.#writing = undefined;
      });
  }

  async #writeAll(): Promise<void> {
    const { observer, onTrouble } = this.#options;
    try {
      await guardDisk(observer, 'write', async () => {
        await this.#openFile();
        while (this.#lines.length > 0) {
          const lines = this.#lines;
          this.#lines = [];
          await this.#append(lines);
        }
      });
      this.#failing = false;
      if (this.#dropped > 0) onTrouble(undefined, this.#dropped);
      this.#dropped = 0;
    } catch (error) {
      if (!this.#failing) onTrouble(error, 0);
      this.#failing = true;
    }
  }

  async #append(lines: string[]): Promise<void> {
    try {
      await this.#handle?.appendFile((this.#isTorn ? '\n' : '') + lines.join(''));
      this.#isTorn = false;
      for (const line of lines) this.#waiting -= line.length;
    } catch (error) {
      this.#lines = [...lines, ...this.#lines];
      this.#isTorn = true;
      throw error;
    }
  }

  async #openFile(): Promise<void> {
    if (this.#isReopening) {
      await this.#handle?.close();
      this.#handle = undefined;
    }
    this.#isReopening = false;
    // A FIFO or a device is the operator's choice; opening it must not wait for its reader.
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
    this.#handle ??= await open(this.#options.path, flags, 0o640);
  }
}
