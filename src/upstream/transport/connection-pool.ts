/**
 * The connections of one purpose, so that bodies which run for minutes never keep a short question waiting: directly,
 * or through the proxies that the configuration names. Connections are opened when they are needed and owned here.
 */
import type { Dispatcher } from 'undici';
import { createConnector, type DialOptions, type ReusedErrors } from './dial.ts';
import {
  type AgentOptions,
  chooseProxy,
  createProxyAgent,
  type ProxyChoice,
  type ProxyOptions,
} from './proxy.ts';
import { Agent } from './undici-parts.ts';

export interface ConnectionPoolOptions extends DialOptions {
  readonly proxy?: ProxyOptions;
}

const idleConnectionMs = 15_000;

export class ConnectionPool {
  readonly #options: ConnectionPoolOptions;
  readonly #reused: ReusedErrors;
  /** Our budgets and the stall deadline of whoever reads govern the time, undici's own clocks are off. */
  readonly #base: AgentOptions;
  readonly #direct: Agent;
  readonly #choose: ProxyChoice;
  readonly #proxied = new Map<URL, Dispatcher>();

  /** `connections`: at once, per host. */
  constructor(options: ConnectionPoolOptions, connections: number, reused: ReusedErrors) {
    this.#options = options;
    this.#reused = reused;
    this.#base = { connections, headersTimeout: 0, bodyTimeout: 0, keepAliveTimeout: idleConnectionMs };
    this.#direct = new Agent({ ...this.#base, connect: createConnector(options, reused) });
    this.#choose = chooseProxy(options.proxy);
  }

  to(target: URL): { readonly dispatcher: Dispatcher; readonly isProxied: boolean } {
    const proxy = this.#choose(target);
    if (proxy === undefined) return { dispatcher: this.#direct, isProxied: false };
    const known = this.#proxied.get(proxy);
    if (known !== undefined) return { dispatcher: known, isProxied: true };
    const dispatcher = createProxyAgent(proxy, this.#base, this.#options, this.#reused);
    this.#proxied.set(proxy, dispatcher);
    return { dispatcher, isProxied: true };
  }

  /** Cuts what still runs. */
  async close(): Promise<void> {
    await Promise.all([this.#direct, ...this.#proxied.values()].map(agent => agent.destroy()));
  }
}
