/**
 * The logger behind `telemetry/logger.ts`: pino, one JSON object per line, or one readable line of text.
 * Every message and field is redacted here, once, for all rooms. Lines are written without blocking, in order;
 * `flush` writes what is left, and is to be called before the process exits.
 */
import { type DestinationStream, destination, type Logger as Pino, pino, stdTimeFunctions } from 'pino';
import { redact, redactFields } from './redact.ts';
import type { LogFields, Logger } from './telemetry/logger.ts';
import { formatTextLine } from './text-line.ts';

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
  const sink = options.write === undefined ? standardOutput() : { write: options.write, flush: () => {} };
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
  return Object.assign(new PinoLogger(root), { flush: sink.flush, print: sink.write });
}

class PinoLogger implements Logger {
  readonly #pino: Pino;

  constructor(inner: Pino) {
    this.#pino = inner;
  }

  debug(message: string, fields?: LogFields): void {
    if (this.#pino.isLevelEnabled('debug')) this.#pino.debug(redactFields(fields ?? {}), redact(message));
  }

  info(message: string, fields?: LogFields): void {
    if (this.#pino.isLevelEnabled('info')) this.#pino.info(redactFields(fields ?? {}), redact(message));
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

/** A reader of our output that goes away (`| head`) must not take the daemon with it. */
function standardOutput(): { write(line: string): void; flush(): void } {
  const output = destination({ fd: 1, sync: false });
  let open = true;
  output.on('error', () => {
    open = false;
  });
  return {
    write: line => {
      if (open) output.write(line);
    },
    flush: () => {
      if (open) output.flushSync();
    },
  };
}
