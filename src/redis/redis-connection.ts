/**
 * The one connection to Redis that a mirror has, for the LRU index and for whatever nodes share. It is never waited for
 * longer than `commandTimeoutMs`: there is no queue for the time without a connection, and it comes back by itself, with
 * growing pauses, for ever. Once a second it is asked whether it is alive, new enough and no replica, because a stopped
 * server keeps its connections, and one that became a replica too. ioredis is loaded here and nowhere else, and only
 * when Redis is configured. No message holds a password.
 */
import type { Cluster, Redis } from 'ioredis';
import type { RedisConfig } from '../config/config.ts';
import type { Logger } from '../telemetry/logger.ts';
import { clientOptions, clusterOptions } from './redis-options.ts';
import { checkHello, checkVersion, describeRedisError, RedisProblem } from './redis-problem.ts';
import { readRefusal } from './redis-refusal.ts';

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
/** Unanswered heartbeats after which the connection is given up: one alone may be our own process that was busy. */
const maxSilent = 2;

/** How Node names what it does before there is a connection. */
const neverConnected = /^(?:connect|getaddrinfo) /;

export class RedisConnection {
  /** `HOST:PORT`, or all of them: for messages. */
  readonly address: string;
  /** Resolves when it is known for the first time whether Redis can be used. */
  readonly firstVerdict: Promise<void>;
  readonly #client: Redis | Cluster;
  readonly #redis: RedisConfig;
  readonly #logger: Logger;
  readonly #watchers = new Set<(problem: RedisProblem | undefined) => void>();
  readonly #timer: NodeJS.Timeout;
  #problem: RedisProblem | undefined = new RedisProblem('unreachable', 'not connected yet');
  #isJudged = false;
  readonly #told = new Set<string>();
  #giveVerdict: () => void = () => {};
  #checking = false;
  #silent = 0;
  #asking = false;
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
    this.firstVerdict = new Promise(resolve => {
      this.#giveVerdict = resolve;
    });
    client.on('ready', () => void this.#check());
    client.on('error', (error: unknown) => this.#failed(describeRedisError(error, redis.tls)));
    client.on('close', () => {
      this.#silent = 0;
      const known = this.#isJudged ? this.#problem : undefined;
      this.#failed(known ?? new RedisProblem('unreachable', 'the connection was closed'));
    });
    this.#timer = setInterval(() => void this.#check(), heartbeatMs).unref();
  }

  /** Undefined: it can be used. */
  get problem(): RedisProblem | undefined {
    return this.#problem;
  }

  /** Calls `watcher` at every change between usable and not, and when the reason changes. Gives what ends that. */
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

  /** Runs a script, sending its text only when Redis doesn't know it. Errors: `RedisProblem`. */
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
    this.#giveVerdict();
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
    if (this.#checking || this.#client.status !== 'ready') return;
    this.#checking = true;
    try {
      const [hello] = await Promise.all([this.#hello(), this.call('ping')]);
      checkHello(hello);
      this.#silent = 0;
      this.#judge(undefined);
    } catch (error) {
      this.#failed(describeRedisError(error));
    } finally {
      this.#checking = false;
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

  #failed(problem: RedisProblem): void {
    if (problem.kind === 'unreachable' && !neverConnected.test(problem.message)) {
      void this.#lost(problem);
      return;
    }
    if (problem.kind === 'silent') {
      // Unanswered because the connection went: that was told already.
      if (this.#asking || !['connect', 'ready'].includes(this.#client.status)) return;
      this.#silent += 1;
      if (this.#silent < maxSilent && this.#isJudged) return;
      this.#silent = 0;
      this.#client.disconnect(true);
    }
    this.#judge(problem);
  }

  /** A connection that was made ended: the client knows only that, the server may say why. */
  async #lost(problem: RedisProblem): Promise<void> {
    if (this.#problem === undefined) this.#judge(problem);
    if (this.#asking || this.#closing.signal.aborted) return;
    this.#asking = true;
    const known = this.#problem;
    const refusal = await readRefusal(this.#redis, this.#closing.signal);
    this.#asking = false;
    if (this.#problem === known) this.#judge(refusal ?? problem); // else it is known better by now
  }

  #judge(problem: RedisProblem | undefined): void {
    if (this.#closing.signal.aborted) return;
    const before = this.#problem;
    this.#problem = problem;
    const isNews = !this.#isJudged || newsOf(before) !== newsOf(problem);
    this.#isJudged = true;
    this.#giveVerdict();
    if (!isNews) return;
    this.#tell(problem);
    for (const watcher of this.#watchers) watcher(problem);
  }

  /** Each kind of problem once in an absence: what fails now in one way and now in another would fill the log. */
  #tell(problem: RedisProblem | undefined): void {
    const news = newsOf(problem);
    if (news !== undefined && this.#told.has(news)) return;
    if (problem === undefined || news === undefined) {
      this.#told.clear();
      this.#logger.info('Redis can be used', { redis: this.address });
      return;
    }
    this.#told.add(news);
    const { kind, message } = problem;
    this.#logger.warn('Redis cannot be used', { redis: this.address, problem: kind, reason: message });
  }
}

/** A paused server is silent on its connection, then unreachable: to a reader of the log that is one absence. */
function newsOf(problem: RedisProblem | undefined): string | undefined {
  return problem?.kind === 'silent' ? 'unreachable' : problem?.kind;
}
