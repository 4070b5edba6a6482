/**
 * The one connection to Redis that a mirror has, for the LRU index and for what nodes share. No command waits longer than
 * 250 ms: there is no offline queue, and the client reconnects for ever. A heartbeat a second checks that the server
 * answers, is new enough and no replica, because a stopped server keeps its connections. No message holds a password.
 */
import type { Cluster, Redis } from 'ioredis';
import type { RedisConfig } from '../config/config.ts';
import type { Logger } from '../telemetry/logger.ts';
import { clientOptions, clusterOptions } from './redis-options.ts';
import { checkHello, checkVersion, describeRedisError, RedisProblem, readRefusal } from './redis-problem.ts';

export interface RedisConnectionOptions {
  readonly redis: RedisConfig;
  readonly logger: Logger;
}

export type RedisArgument = string | number | Buffer;

/** A Lua script, and the name that Redis knows it by. */
export interface RedisScript {
  readonly lua: string;
  /** SHA-1 of `lua`, in hex. */
  readonly sha: string;
}

const heartbeatMs = 1000;
/** Unanswered heartbeats after which the connection is replaced: one alone may be our own process that was busy. */
const maxSilentHeartbeats = 2;

/** Errors of Node before there is a connection. */
const neverConnected = /^(?:connect|getaddrinfo) /;

export class RedisConnection {
  /** `HOST:PORT`, or all of them: for messages. */
  readonly address: string;
  /** Resolves when it is known for the first time whether Redis can be used, and when the connection is closed. */
  readonly firstCheck: Promise<void>;
  readonly #client: Redis | Cluster;
  readonly #redis: RedisConfig;
  readonly #logger: Logger;
  readonly #watchers = new Set<(problem: RedisProblem | undefined) => void>();
  readonly #timer: NodeJS.Timeout;
  #problem: RedisProblem | undefined = new RedisProblem('unreachable', 'not connected yet');
  #isChecked = false;
  readonly #logged = new Set<string>();
  #resolveFirstCheck: () => void = () => {};
  #isChecking = false;
  #silentHeartbeats = 0;
  #isAskingRefusal = false;
  readonly #closing = new AbortController();

  /** Starts to connect and doesn't wait for it. */
  static async open(options: RedisConnectionOptions): Promise<RedisConnection> {
    const { Cluster, Redis } = await import('ioredis');
    const { redis } = options;
    const nodes = redis.addresses.map(({ host, port }) => ({ host, port }));
    const client =
      redis.mode === 'cluster' ? new Cluster(nodes, clusterOptions(redis)) : new Redis(clientOptions(redis));
    return new RedisConnection(client, options);
  }

  private constructor(client: Redis | Cluster, { redis, logger }: RedisConnectionOptions) {
    this.#client = client;
    this.#redis = redis;
    this.#logger = logger;
    this.address = redis.addresses.map(({ host, port }) => `${host}:${port}`).join(', ');
    this.firstCheck = new Promise(resolve => {
      this.#resolveFirstCheck = resolve;
    });
    client.on('ready', () => void this.#check());
    client.on('error', (error: unknown) => this.#fail(describeRedisError(error, redis.tls)));
    client.on('close', () => {
      this.#silentHeartbeats = 0;
      const known = this.#isChecked ? this.#problem : undefined;
      this.#fail(known ?? new RedisProblem('unreachable', 'the connection was closed'));
    });
    this.#timer = setInterval(() => void this.#check(), heartbeatMs).unref();
  }

  /** Undefined: it can be used. */
  get problem(): RedisProblem | undefined {
    return this.#problem;
  }

  /** Calls `watcher` when Redis becomes usable or unusable, and when the reason changes, until the given function is called. */
  watch(watcher: (problem: RedisProblem | undefined) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** One command; replies with text. Errors: `RedisProblem`. */
  call(command: string, ...args: readonly RedisArgument[]): Promise<unknown> {
    return this.#guard(this.#client.call(command, ...args));
  }

  /** As `call`; replies with Buffers where it has text. */
  callBuffer(command: string, ...args: readonly RedisArgument[]): Promise<unknown> {
    return this.#guard(this.#client.callBuffer(command, ...args));
  }

  /** Runs a script; its text is sent only when Redis doesn't know it. Errors: `RedisProblem`. */
  async run(script: RedisScript, keys: readonly string[], args: readonly RedisArgument[]): Promise<unknown> {
    const rest = [keys.length, ...keys, ...args];
    try {
      return await this.#client.call('evalsha', script.sha, ...rest);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw describeRedisError(error);
      return this.call('eval', script.lua, ...rest);
    }
  }

  /** Idempotent. Commands under way fail. */
  close(): void {
    this.#closing.abort();
    clearInterval(this.#timer);
    this.#watchers.clear();
    this.#resolveFirstCheck();
    this.#client.disconnect();
  }

  async #guard(reply: Promise<unknown>): Promise<unknown> {
    try {
      return await reply;
    } catch (error) {
      throw describeRedisError(error);
    }
  }

  async #check(): Promise<void> {
    if (this.#isChecking || this.#client.status !== 'ready') return;
    this.#isChecking = true;
    try {
      const [hello] = await Promise.all([this.#hello(), this.call('ping')]);
      checkHello(hello);
      this.#silentHeartbeats = 0;
      this.#setProblem(undefined);
    } catch (error) {
      this.#fail(describeRedisError(error));
    } finally {
      this.#isChecking = false;
    }
  }

  async #hello(): Promise<unknown> {
    try {
      return await this.#client.call('hello');
    } catch (error) {
      if (!(error instanceof Error) || !/unknown command|wrong number of arguments/i.test(error.message))
        throw error;
      const info = String(await this.call('info', 'server'));
      checkVersion(/redis_version:(\S+)/.exec(info)?.[1] ?? 'an older one');
      throw error;
    }
  }

  #fail(problem: RedisProblem): void {
    if (problem.kind === 'unreachable' && !neverConnected.test(problem.message)) {
      void this.#explainLoss(problem);
      return;
    }
    if (problem.kind === 'silent') {
      // Unanswered because the connection was lost: that is logged already.
      if (this.#isAskingRefusal || !['connect', 'ready'].includes(this.#client.status)) return;
      this.#silentHeartbeats += 1;
      if (this.#silentHeartbeats < maxSilentHeartbeats && this.#isChecked) return;
      this.#silentHeartbeats = 0;
      this.#client.disconnect(true);
    }
    this.#setProblem(problem);
  }

  /** An established connection ended: the server may say why when it is asked on a new one. */
  async #explainLoss(problem: RedisProblem): Promise<void> {
    if (this.#problem === undefined) this.#setProblem(problem);
    if (this.#isAskingRefusal || this.#closing.signal.aborted) return;
    this.#isAskingRefusal = true;
    const known = this.#problem;
    const refusal = await readRefusal(this.#redis, this.#closing.signal);
    this.#isAskingRefusal = false;
    if (this.#problem === known) this.#setProblem(refusal ?? problem); // otherwise a later check knows better
  }

  #setProblem(problem: RedisProblem | undefined): void {
    if (this.#closing.signal.aborted) return;
    const before = this.#problem;
    this.#problem = problem;
    const isNews = !this.#isChecked || newsOf(before) !== newsOf(problem);
    this.#isChecked = true;
    this.#resolveFirstCheck();
    if (!isNews) return;
    this.#logNews(problem);
    for (const watcher of this.#watchers) watcher(problem);
  }

  /** Each kind of problem once until Redis is usable again: kinds that alternate would fill the log. */
  #logNews(problem: RedisProblem | undefined): void {
    const news = newsOf(problem);
    if (news !== undefined && this.#logged.has(news)) return;
    if (problem === undefined || news === undefined) {
      this.#logged.clear();
      this.#logger.info('Redis can be used', { redis: this.address });
      return;
    }
    this.#logged.add(news);
    const { kind, message } = problem;
    this.#logger.warn('Redis cannot be used', { redis: this.address, problem: kind, reason: message });
  }
}

/** A paused server is silent on its connection, then unreachable: in the log that is one problem. */
function newsOf(problem: RedisProblem | undefined): string | undefined {
  return problem?.kind === 'silent' ? 'unreachable' : problem?.kind;
}
