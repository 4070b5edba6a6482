/**
 * Where lines of the log go: written in order, by turns of the event loop, never blocking a request. `flush` is bounded, so
 * that a process whose log has no reader, or one that does not read, still ends. A log that no longer exists (EPIPE) is given up.
 */
import { constants, openSync, writeSync } from 'node:fs';

/** Writes what it can of `bytes` from offset `from` and gives the count. Errors: EAGAIN when nothing can be written now; others. */
export type WriteBytes = (bytes: Buffer, from: number) => number;

/**
 * Standard output, opened once more so that it doesn't block: a full pipe says EAGAIN instead of stopping the process, and
 * other processes with the same pipe keep their own mode. A socket can't be opened again and is written to as it is.
 */
export function openStandardOutput(): LineSink {
  let fd = 1;
  try {
    fd = openSync('/proc/self/fd/1', constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK);
  } catch {
    // a socket, a system without /proc, or a file of another user: the inherited one has to do
  }
  return new LineSink((bytes, from) => writeSync(fd, bytes, from));
}

/** Lines that no reader takes are dropped above it. Bytes. */
const maxWaitingBytes = 16 * 1024 * 1024;
const retryMs = 20;
/** How long `flush` waits for a reader that doesn't read. */
const flushMs = 1000;

export class LineSink {
  readonly #write: WriteBytes;
  #lines: string[] = [];
  #waitingBytes = 0;
  /** What is being written, and how much of it is. */
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #isGone = false;
  #isScheduled = false;

  constructor(write: WriteBytes) {
    this.#write = write;
  }

  write(line: string): void {
    if (this.#isGone || this.#waitingBytes > maxWaitingBytes) return;
    this.#lines.push(line);
    this.#waitingBytes += line.length;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#drain());
  }

  /** Writes what waits, for at most a second. Never throws. */
  flush(): void {
    const endMs = performance.now() + flushMs;
    const pause = new Int32Array(new SharedArrayBuffer(4));
    while (this.#hasMore() && performance.now() < endMs) {
      if (this.#writeSome() === 'later') Atomics.wait(pause, 0, 0, retryMs);
    }
  }

  #drain(): void {
    this.#isScheduled = false;
    while (this.#hasMore()) {
      if (this.#writeSome() === 'done') continue;
      this.#isScheduled = true;
      setTimeout(() => this.#drain(), retryMs).unref();
      return;
    }
  }

  #hasMore(): boolean {
    return !this.#isGone && (this.#at < this.#bytes.length || this.#lines.length > 0);
  }

  #writeSome(): 'done' | 'later' {
    if (this.#at === this.#bytes.length) {
      this.#bytes = Buffer.from(this.#lines.join(''));
      this.#at = 0;
      this.#lines = [];
      this.#waitingBytes = 0;
    }
    try {
      this.#at += this.#write(this.#bytes, this.#at);
      return 'done';
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === 'EAGAIN') return 'later';
      this.#isGone = true; // EPIPE: the reader has gone, and there is no place left to say so
      this.#lines = [];
      return 'done';
    }
  }
}
