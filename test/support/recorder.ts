/** An observer and a logger that keep what they are told, for tests that compare exact lists of events. */
import { setImmediate as turn } from 'node:timers/promises';
import type { LogFields, Logger } from '../../src/telemetry/logger.ts';
import type { Observer } from '../../src/telemetry/observer.ts';

/** Keeps events as `name arg arg`, log lines with their level in front. */
export class Recorder {
  readonly events: string[] = [];
  readonly logged: string[] = [];

  readonly observer: Observer = new Proxy({} as Observer, {
    get:
      (_target, name) =>
      (...values: unknown[]) => {
        this.events.push(
          [
            name,
            ...values.map(value => (typeof value === 'object' ? JSON.stringify(value) : String(value))),
          ].join(' '),
        );
      },
  });

  readonly logger: Logger = {
    debug: (message, fields) => this.#log('debug', message, fields),
    info: (message, fields) => this.#log('info', message, fields),
    warn: (message, fields) => this.#log('warn', message, fields),
    error: (message, fields) => this.#log('error', message, fields),
    child: () => this.logger,
  };

  async until(name: keyof Observer, count: number): Promise<void> {
    while (this.of(name).length < count) await turn();
  }

  of(name: keyof Observer): string[] {
    return this.events.filter(event => event.startsWith(`${name} `));
  }

  #log(level: string, message: string, fields: LogFields | undefined): void {
    this.logged.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`);
  }
}
