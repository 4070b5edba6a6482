/**
 * The fleet's keys and scripts in Redis. Each script is one round trip. While Redis doesn't answer, no caller waits for it: the first one
 * waits one command timeout, the others get "away" at once, and only the heartbeat asks (`probe`) until Redis answers again.
 */
import type { Digest } from '../../oci/digest.ts';
import type { Logger } from '../../telemetry/logger.ts';

/** The name stands in braces, so that a Redis Cluster keeps all keys of a fleet in one slot and a script may touch several. */
export class FleetKeys {
  readonly #prefix: string;

  /** `fleet`: its configured name, which holds no brace. */
  constructor(fleet: string) {
    this.#prefix = `cistern:{${fleet}}:`;
  }

  /** HASH node -> `SEEN SIGNED-URL`. */
  get nodes(): string {
    return `${this.#prefix}nodes`;
  }

  /** STRING token of the node that downloads it; expires. */
  lease(digest: Digest): string {
    return `${this.#prefix}lease:${digest}`;
  }

  /** SET of nodes that said they hold it: hints. Expires. */
  holders(digest: Digest): string {
    return `${this.#prefix}holders:${digest}`;
  }

  /** `name`: canonical, `docker.io/library/alpine:3.20`. */
  tag(name: string): string {
    return `${this.#prefix}tag:${name}`;
  }

  /** `source`: what an upstream counts pulls under (`docker-ratelimit-source`). */
  pullQuota(source: string): string {
    return `${this.#prefix}budget:${source}`;
  }
}

/** The connection. A command that isn't answered is rejected soon. */
export interface RedisCaller {
  call(command: string, ...args: readonly string[]): Promise<unknown>;
}

/** Single commands. Errors mean that Redis is away. */
export interface FleetCommands {
  hget(key: string, field: string): Promise<string | null>;
  eval(script: string, keyCount: number, ...args: readonly string[]): Promise<unknown>;
}

export interface FleetRedisOptions {
  readonly redis: RedisCaller;
  readonly logger: Logger;
  /** Milliseconds; a monotonic clock. */
  clock(): number;
  /** Redis answers again, or has stopped answering. */
  onUpChange(isUp: boolean): void;
}

export interface Script {
  readonly lua: string;
  readonly keys: readonly string[];
  readonly values: readonly string[];
}

/** Longer than any command timeout: this process was busy, so the command is sent once more. */
const busyMs = 400;

export class FleetRedis {
  readonly #options: FleetRedisOptions;
  readonly #commands: FleetCommands = {
    hget: async (key, field) => {
      const found = await this.#call('hget', key, field);
      return typeof found === 'string' ? found : null;
    },
    eval: (script, keyCount, ...args) => this.#call('eval', script, String(keyCount), ...args),
  };
  #isUp: boolean | undefined;

  constructor(options: FleetRedisOptions) {
    this.#options = options;
  }

  /** False until its first answer. */
  get isUp(): boolean {
    return this.#isUp === true;
  }

  /** `away`: Redis doesn't answer or refuses (read-only, out of memory). Never rejects. */
  async run(script: Script): Promise<{ readonly reply: unknown } | 'away'> {
    return this.#isUp === false ? 'away' : this.probe(script);
  }

  /** Undefined: Redis is away. */
  commands(): FleetCommands | undefined {
    return this.#isUp === false ? undefined : this.#commands;
  }

  /** As `run`, but asks Redis even when it is away. */
  async probe({ lua, keys, values }: Script): Promise<{ readonly reply: unknown } | 'away'> {
    try {
      return { reply: await this.#call('eval', lua, String(keys.length), ...keys, ...values) };
    } catch {
      return 'away'; // reported by #setUp
    }
  }

  async #call(command: string, ...args: readonly string[]): Promise<unknown> {
    for (let isLast = false; ; isLast = true) {
      const startedAt = this.#options.clock();
      try {
        const reply = await this.#options.redis.call(command, ...args);
        this.#setUp(true);
        return reply;
      } catch (error) {
        if (this.#options.clock() - startedAt > busyMs && !isLast) continue;
        this.#setUp(false, error);
        throw error;
      }
    }
  }

  #setUp(isUp: boolean, error?: unknown): void {
    if (this.#isUp === isUp) return;
    this.#isUp = isUp;
    const { logger, onUpChange } = this.#options;
    if (isUp) logger.info('Redis answers, this node is part of the fleet');
    else logger.warn('Redis does not answer, this node works without its fleet', { error });
    onUpChange(isUp);
  }
}

/** The reply of a script that gives a list of texts. */
export function textsOf(reply: unknown): readonly string[] {
  return Array.isArray(reply) ? reply.map(String) : [];
}
