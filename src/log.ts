/**
 * The implementation of `telemetry/logger.ts` with pino: one JSON object or one line of text per entry. Every message and
 * field is redacted here. Lines are written in order without blocking; call `flush` before the process exits.
 */
import { type DestinationStream, destination, type Logger as Pino, pino, stdTimeFunctions } from 'pino';
import { redact, redactFields } from './redact.ts';
import type { LogFields, Logger } from './telemetry/logger.ts';

export interface LogOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  readonly format: 'json' | 'text';
  /** Gets each line with its end. Left out: standard output. */
  readonly write?: (line: string) => void;
}

export interface RootLogger extends Logger {
  flush(): void;
}

export function createLogger(options: LogOptions): RootLogger {
  const sink = options.write === undefined ? standardOutput() : { write: options.write, flush: () => {} };
  const stream: DestinationStream =
    options.format === 'text' ? { write: line => sink.write(formatTextLine(line)) } : sink;
  const root = pino(
    {
      level: options.level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
    },
    stream,
  );
  return Object.assign(new PinoLogger(root), { flush: sink.flush });
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

/** When the reader of standard output goes away (`| head`), the daemon goes on. */
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

/**
 * `2026-01-31T12:00:00.000Z INFO  message key=value key="two words"`: one physical line whatever the values hold. It is made
 * from pino's JSON line, so both formats say the same.
 */
function formatTextLine(jsonLine: string): string {
  const { time, level, msg, ...fields } = parseObject(jsonLine);
  const head = `${String(time)} ${String(level).toUpperCase().padEnd(5)} ${oneLine(String(msg))}`;
  const pairs = Object.entries(fields).map(([name, value]) => `${name}=${formatValue(value)}`);
  return `${[head, ...pairs].join(' ')}\n`;
}

function parseObject(jsonLine: string): Record<string, unknown> {
  const value: unknown = JSON.parse(jsonLine);
  return typeof value === 'object' && value !== null ? { ...value } : { msg: value };
}

function formatValue(value: unknown): string {
  if (typeof value === 'string' && /^[^\s"'=\\\p{C}]+$/u.test(value)) return value;
  return oneLine(JSON.stringify(value) ?? 'undefined');
}

/** Control characters could forge a line or control the reader's terminal. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, character => {
    const code = character.charCodeAt(0).toString(16).padStart(4, '0');
    return `\\u${code}`;
  });
}
