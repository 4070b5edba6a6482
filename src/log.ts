/**
 * The implementation of `telemetry/logger.ts` with pino: one JSON object or one line of text per entry. Every message and field is redacted
 * (log-redaction.ts). Lines are written in order, by turns of the event loop, and never block a request; call `flush` before the process
 * exits. It is
 * bounded, so that a process whose log has no reader, or one that does not read, still ends.
 */
import { constants, openSync, writeSync } from 'node:fs';
import { type DestinationStream, type Logger as Pino, pino, stdTimeFunctions } from 'pino';
import { hidden, redact, redactFields, secretField } from './log-redaction.ts';
import { formatTextLine } from './log-text.ts';
import type { LogFields, Logger } from './telemetry/logger.ts';

export interface LogOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  readonly format: 'json' | 'text';
  /** Of text: for a terminal. */
  readonly colour?: boolean;
  /** Gets each line with its end. Left out: standard output. */
  readonly write?: (line: string) => void;
}

export interface RootLogger extends Logger {
  flush(): void;
  /** A text that is no line of the log, in order with those. */
  print(text: string): void;
}

export function createLogger(options: LogOptions): RootLogger {
  const sink = options.write === undefined ? openStandardOutput() : { write: options.write, flush: () => {} };
  const stream: DestinationStream =
    options.format === 'text' ? { write: line => sink.write(formatTextLine(line, options.colour)) } : sink;
  const root = pino(
    {
      level: options.level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
    },
    stream,
  );
  const logger = new PinoLogger(root, new FlatLines(line => stream.write(line)));
  return Object.assign(logger, { flush: () => sink.flush(), print: (text: string) => sink.write(text) });
}

class PinoLogger implements Logger {
  readonly #pino: Pino;
  /** Absent: each line has fields of its own beside those that are given. */
  readonly #flat: FlatLines | undefined;

  constructor(inner: Pino, flat?: FlatLines) {
    this.#pino = inner;
    this.#flat = flat;
  }

  debug(message: string, fields?: LogFields): void {
    if (this.#pino.isLevelEnabled('debug')) this.#pino.debug(redactFields(fields ?? {}), redact(message));
  }

  info(message: string, fields?: LogFields): void {
    if (!this.#pino.isLevelEnabled('info') || this.#flat?.write('info', message, fields) === true) return;
    this.#pino.info(redactFields(fields ?? {}), redact(message));
  }

  warn(message: string, fields?: LogFields): void {
    if (this.#pino.isLevelEnabled('warn')) this.#pino.warn(redactFields(fields ?? {}), redact(message));
  }

  error(message: string, fields?: LogFields): void {
    if (this.#pino.isLevelEnabled('error')) this.#pino.error(redactFields(fields ?? {}), redact(message));
  }

  child(fields: LogFields): Logger {
    return new PinoLogger(this.#pino.child(redactFields(fields)));
  }
}

/** Printable ASCII without quote and backslash: JSON as it is. */
const plainText = /^[ !#-[\]-~]*$/;
const plainName = /^(?!(?:level|time|msg)$)[A-Za-z]\w{0,63}$/;
const maxNames = 500;

/** `quoted`: its last text as JSON. Most fields of a line say what they said in the line before. */
interface Field {
  readonly isSecret: boolean;
  text?: string;
  quoted: string;
}

/** Lines whose fields are text and numbers, as those of the access log: the same as pino's, made by hand in less time. */
class FlatLines {
  readonly #write: (line: string) => void;
  readonly #fields = new Map<string, Field>();
  /** Many lines are of the same millisecond. */
  #time = { ms: 0, text: '' };

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  /** False: it has other fields too, and was not written. */
  write(level: string, message: string, fields: LogFields = {}): boolean {
    const ms = Date.now();
    if (ms !== this.#time.ms) this.#time = { ms, text: new Date(ms).toISOString() };
    let line = `{"level":"${level}","time":"${this.#time.text}"`;
    for (const [name, value] of Object.entries(fields)) {
      if (value === undefined) continue;
      const field = this.#fields.get(name) ?? this.#learn(name);
      const isText = typeof value === 'string';
      const isFlat = isText || typeof value === 'boolean' || Number.isFinite(value);
      if (field === undefined || !isFlat) return false;
      if (isText && field.text !== value) {
        field.quoted = field.isSecret ? `"${hidden}"` : quote(value);
        field.text = value;
      }
      line += `,"${name}":${isText ? field.quoted : value}`;
    }
    this.#write(`${line},"msg":${quote(message)}}\n`);
    return true;
  }

  #learn(name: string): Field | undefined {
    if (!plainName.test(name)) return undefined;
    const field: Field = { isSecret: secretField.test(name), quoted: '' };
    if (this.#fields.size < maxNames) this.#fields.set(name, field);
    return field;
  }
}

function quote(text: string): string {
  const redacted = redact(text);
  return plainText.test(redacted) ? `"${redacted}"` : JSON.stringify(redacted);
}

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
