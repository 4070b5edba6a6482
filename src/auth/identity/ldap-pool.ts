/**
 * At most four connections to the first LDAP server that can be reached, kept for a minute. Client addresses take turns. A connection that
 * the server has closed in the meantime costs one new one, and no failed login.
 */
import { FairQueue } from '../../lib/fair-queue.ts';
import { tooManyLogins } from '../refusals.ts';
import { LdapConnection, type LdapServer } from './ldap-connection.ts';

export interface LdapPoolOptions {
  /** Asked in this order; the one that has answered last goes first. At least one. */
  readonly servers: readonly LdapServer[];
  /** Of one use, and for opening connections shared by the servers. */
  readonly deadlineMs: number;
}

export type LdapWork<T> = (connection: LdapConnection, signal: AbortSignal) => Promise<T>;

const queueLimit = { maxRunning: 4, maxWaitingPerKey: 64, maxWaiting: 512, full: tooManyLogins };
const idleMs = 60_000;

interface Idle {
  readonly connection: LdapConnection;
  readonly timer: NodeJS.Timeout;
}

export class LdapPool {
  readonly #options: LdapPoolOptions;
  readonly #queue = new FairQueue(queueLimit);
  readonly #idle: Idle[] = [];
  #preferred = 0;
  #isClosed = false;

  constructor(options: LdapPoolOptions) {
    this.#options = options;
  }

  /** Errors: those of `work` and of connections; UNAVAILABLE when too many wait; the signal's reason. */
  async use<T>(address: string, signal: AbortSignal, work: LdapWork<T>): Promise<T> {
    return this.#queue.run(address, async () => {
      signal.throwIfAborted();
      const kept = this.#takeIdle();
      if (kept === undefined) return this.#onNew(signal, work);
      try {
        return await this.#on(kept, signal, work);
      } catch (error) {
        if (signal.aborted) throw error;
        return this.#onNew(signal, work);
      }
    });
  }

  /** Connections in use are closed after their use. */
  close(): void {
    this.#isClosed = true;
    for (let kept = this.#takeIdle(); kept !== undefined; kept = this.#takeIdle()) kept.close();
  }

  /** Each server in turn. Errors: that of the last. */
  async #onNew<T>(signal: AbortSignal, work: LdapWork<T>): Promise<T> {
    const { servers, deadlineMs } = this.#options;
    const first = this.#preferred;
    let failure: unknown;
    for (let turn = 0; turn < servers.length; turn += 1) {
      const at = (first + turn) % servers.length;
      const server = servers[at];
      if (server === undefined) break;
      const opening = AbortSignal.any([signal, AbortSignal.timeout(deadlineMs / servers.length)]);
      try {
        const answer = await this.#on(await LdapConnection.open(server, opening), signal, work);
        this.#preferred = at;
        return answer;
      } catch (error) {
        failure = error;
        this.#preferred = (at + 1) % servers.length;
        if (signal.aborted) break;
      }
    }
    throw failure;
  }

  async #on<T>(connection: LdapConnection, signal: AbortSignal, work: LdapWork<T>): Promise<T> {
    try {
      const answer = await work(connection, signal);
      this.#keep(connection);
      return answer;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  #keep(connection: LdapConnection): void {
    if (this.#isClosed || !connection.isOpen) {
      connection.close();
      return;
    }
    connection.setIdle(true);
    this.#idle.push({ connection, timer: setTimeout(() => this.#drop(connection), idleMs).unref() });
  }

  #drop(connection: LdapConnection): void {
    const at = this.#idle.findIndex(kept => kept.connection === connection);
    if (at !== -1) this.#idle.splice(at, 1);
    connection.close();
  }

  /** The one used last. */
  #takeIdle(): LdapConnection | undefined {
    for (let kept = this.#idle.pop(); kept !== undefined; kept = this.#idle.pop()) {
      clearTimeout(kept.timer);
      if (kept.connection.isOpen) {
        kept.connection.setIdle(false);
        return kept.connection;
      }
      kept.connection.close();
    }
    return undefined;
  }
}
