/** The metric of logins. Its series exist from the start. */
import { Counter, type Registry } from 'prom-client';

const results = ['right', 'wrong', 'throttled', 'unavailable'] as const;

export type LoginResult = (typeof results)[number];

export class LoginMetrics {
  readonly #logins: Counter;

  constructor(registry: Registry) {
    this.#logins = new Counter({
      name: 'cistern_logins_total',
      help: 'Logins that were checked, or refused unchecked (throttled).',
      labelNames: ['source', 'result'],
      registers: [registry],
    });
    for (const result of results) this.#logins.inc({ source: 'htpasswd', result }, 0);
    for (const result of ['wrong', 'throttled']) this.#logins.inc({ source: 'none', result }, 0);
  }

  /** `source`: the provider that knows the name, or `none`. */
  loggedIn(source: string, result: LoginResult): void {
    this.#logins.inc({ source, result });
  }
}
