/**
 * Ordered start and stop. Parts close in the reverse order of their start, each exactly once, even if others fail; a failed
 * start closes what had started. `runUntilSignal` ties that to the process: the first SIGTERM or SIGINT drains and exits with
 * 0, a second one or an uncaught error exits with 1 at once. A repeat within half a second is not a second signal. SIGHUP
 * reloads the configuration and never ends the process.
 */
import type { Logger } from '../telemetry/logger.ts';

export interface CloseOptions {
  /** How long running answers may go on, in milliseconds. */
  readonly drainMs: number;
}

export type Close = (options: CloseOptions) => Promise<void> | void;

export class Lifecycle {
  readonly #logger: Logger;
  readonly #parts: { readonly name: string; readonly close: Close }[] = [];
  #closing: Promise<void> | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** True from the first moment of `close`. */
  get closing(): boolean {
    return this.#closing !== undefined;
  }

  /** Starts one part and remembers how to close it. Errors: those of `start`, after everything before it was closed. */
  async start<Part>(
    name: string,
    start: () => Promise<Part> | Part,
    close: (part: Part, options: CloseOptions) => Promise<void> | void,
  ): Promise<Part> {
    let part: Part;
    try {
      part = await start();
    } catch (error) {
      await this.close({ drainMs: 0 });
      throw error;
    }
    if (this.closing) {
      await close(part, { drainMs: 0 }); // a signal came during the start
      throw new Error(`stopped while ${name} was starting`);
    }
    this.#parts.push({ name, close: options => close(part, options) });
    return part;
  }

  /** Idempotent: later calls wait for the first. Never rejects; what a part's close throws is logged. */
  close(options: CloseOptions): Promise<void> {
    this.#closing ??= this.#closeAll(options);
    return this.#closing;
  }

  async #closeAll(options: CloseOptions): Promise<void> {
    for (let part = this.#parts.pop(); part !== undefined; part = this.#parts.pop()) {
      try {
        await part.close(options);
      } catch (error) {
        this.#logger.error('a part did not close cleanly', { part: part.name, error });
      }
    }
  }
}

/** The part of `process` that is used, so that a test can replace it. */
export interface ProcessEvents {
  on(event: string, listener: (value: unknown) => void): unknown;
  off(event: string, listener: (value: unknown) => void): unknown;
}

export interface RunOptions {
  readonly process: ProcessEvents;
  readonly logger: Logger & { flush?(): void };
  /** Called once, at the first signal. */
  readonly close: Close;
  readonly drainMs: number;
  /** For SIGHUP. Never rejects. */
  readonly reload?: () => Promise<void>;
  /** Ends the process. */
  readonly exit: (code: number) => void;
  /** Milliseconds; a monotonic clock when left out. */
  readonly now?: () => number;
}

/** Under `npm start`, Ctrl-C comes twice: from the terminal and from npm. */
const sameKeystrokeMs = 500;

const signals = ['SIGTERM', 'SIGINT'] as const;
const faults = ['uncaughtException', 'unhandledRejection'] as const;

/** Installs the handlers at once; `stop` removes them (for tests and for a start that failed). */
export function runUntilSignal(options: RunOptions): { stop(): void } {
  const { process, logger } = options;
  const now = options.now ?? (() => performance.now());
  let first: { readonly signal: unknown; readonly at: number } | undefined;

  function exit(code: number): void {
    logger.flush?.();
    options.exit(code);
  }

  function onSignal(signal: unknown): void {
    if (first !== undefined) {
      if (signal === first.signal && now() - first.at < sameKeystrokeMs) return;
      logger.warn('second signal, exiting at once', { signal });
      exit(1);
      return;
    }
    first = { signal, at: now() };
    logger.info('draining', { signal, drainMs: options.drainMs });
    void finish();
  }

  async function finish(): Promise<void> {
    try {
      await options.close({ drainMs: options.drainMs });
      logger.info('stopped');
      exit(0);
    } catch (error) {
      logger.error('stopping failed', { error });
      exit(1);
    }
  }

  function onFault(error: unknown): void {
    logger.error('uncaught exception, exiting', { error });
    exit(1);
  }

  function onHangUp(): void {
    if (first === undefined) void options.reload?.();
  }

  process.on('SIGHUP', onHangUp);
  for (const signal of signals) process.on(signal, onSignal);
  for (const fault of faults) process.on(fault, onFault);
  return {
    stop: () => {
      process.off('SIGHUP', onHangUp);
      for (const signal of signals) process.off(signal, onSignal);
      for (const fault of faults) process.off(fault, onFault);
    },
  };
}
