/**
 * The fleet's way to Redis: scripts, each one round trip, behind a breaker. While Redis doesn't answer no question waits
 * for it: the first one pays one command timeout, the others are told "away" at once, and only the heartbeat asks
 * (`probe`), which notices its return.
 */
import type { Logger } from '../../telemetry/logger.ts';

/** The connection, whoever opened it: one command; rejects soon while there is no answer. */
export interface RedisCaller {
  call(command: string, ...args: readonly string[]): Promise<unknown>;
}

/** For those who need single commands. Errors mean that it is away. */
export interface FleetCommands {
  hget(key: string, field: string): Promise<string | null>;
  eval(script: string, keyCount: number, ...args: readonly string[]): Promise<unknown>;
}

export interface FleetRedisOptions {
  readonly redis: RedisCaller;
  readonly logger: Logger;
  /** Milliseconds; a monotonic clock. */
  clock(): number;
  /** Called when it turns. */
  onTurn(isUp: boolean): void;
}

export interface Script {
  readonly lua: string;
  readonly keys: readonly string[];
  readonly values: readonly string[];
}

/** An answer that was missed for longer than any timeout was missed by us: this process was busy, and Redis wasn't asked for that long. */
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

  /** `away`: it didn't answer, now or a moment ago, or refuses to (read-only, out of memory). Never rejects. */
  async run(script: Script): Promise<{ readonly reply: unknown } | 'away'> {
    return this.#isUp === false ? 'away' : this.probe(script);
  }

  /** Undefined: it is away for now. */
  commands(): FleetCommands | undefined {
    return this.#isUp === false ? undefined : this.#commands;
  }

  /** As `run`, also while it is away. */
  async probe({ lua, keys, values }: Script): Promise<{ readonly reply: unknown } | 'away'> {
    try {
      return { reply: await this.#call('eval', lua, String(keys.length), ...keys, ...values) };
    } catch {
      return 'away'; // reported where it turned
    }
  }

  async #call(command: string, ...args: readonly string[]): Promise<unknown> {
    for (let isLast = false; ; isLast = true) {
      const startedAt = this.#options.clock();
      try {
        const reply = await this.#options.redis.call(command, ...args);
        this.#turn(true);
        return reply;
      } catch (error) {
        if (this.#options.clock() - startedAt > busyMs && !isLast) continue;
        this.#turn(false, error);
        throw error;
      }
    }
  }

  #turn(isUp: boolean, error?: unknown): void {
    if (this.#isUp === isUp) return;
    this.#isUp = isUp;
    const { logger, onTurn } = this.#options;
    if (isUp) logger.info('the fleet is met in Redis');
    else logger.warn('the fleet cannot be met in Redis, this node goes on alone', { error });
    onTurn(isUp);
  }
}

/** A reply as the list of texts that all scripts here give. */
export function textsOf(reply: unknown): readonly string[] {
  return Array.isArray(reply) ? reply.map(String) : [];
}
