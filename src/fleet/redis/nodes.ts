/**
 * Who belongs to the fleet and where: each node says so in one HASH every few seconds, by Redis' own clock. Where a node
 * is reached is sealed: who can only write to Redis can't make the nodes dial anything.
 *
 * A node is named by its store, so that what is known of its content outlives a restart.
 */
import type { Logger } from '../../telemetry/logger.ts';
import type { FleetKeys } from './fleet-keys.ts';
import { type FleetRedis, textsOf } from './fleet-redis.ts';
import type { SignedValues } from './signed-value.ts';

export interface Peer {
  readonly node: string;
  /** Without a trailing slash. */
  readonly url: string;
}

export interface NodesOptions {
  readonly redis: FleetRedis;
  readonly keys: FleetKeys;
  readonly seal: SignedValues;
  readonly logger: Logger;
  readonly self: Peer;
  readonly heartbeatMs: number;
}

/** Not seen for so many heartbeats: it isn't asked. */
const missedBeats = 5;
const forgetAfterMs = 7 * 24 * 3600_000;

/** Says that we are here; gives `known` (0: Redis has lost what we said), what it said before, and how many are alive. */
const beat = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local before = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], now .. ' ' .. ARGV[2])
local alive = 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local seen = tonumber(string.match(all[i + 1], '^%d+')) or 0
  if now - seen > tonumber(ARGV[4]) then redis.call('HDEL', KEYS[1], all[i])
  elseif now - seen <= tonumber(ARGV[3]) then alive = alive + 1 end
end
return { before or '', tostring(alive) }`;

const leave = `redis.call('HDEL', KEYS[1], ARGV[1])`;

export class Nodes {
  readonly #options: NodesOptions;
  readonly #entry: string;
  #alive = 0;
  #hasSaid = false;

  constructor(options: NodesOptions) {
    this.#options = options;
    const { self, seal } = options;
    this.#entry = seal.close(`node:${self.node}`, self.url);
  }

  get self(): Peer {
    return this.#options.self;
  }

  /** Those seen lately, this one among them; as of the last heartbeat. */
  get alive(): number {
    return this.#alive;
  }

  /** An entry that is older is dead. Milliseconds. */
  get deadAfterMs(): number {
    return missedBeats * this.#options.heartbeatMs;
  }

  /** `lost`: Redis answers and has forgotten us; `away`: it doesn't answer. */
  async beat(): Promise<'known' | 'lost' | 'away'> {
    const { redis, keys, self, logger } = this.#options;
    const values = [self.node, this.#entry, String(this.deadAfterMs), String(forgetAfterMs)];
    const answer = await redis.probe({ lua: beat, keys: [keys.nodes], values });
    if (answer === 'away') {
      this.#alive = 0;
      return 'away';
    }
    const [before = '', alive] = textsOf(answer.reply);
    this.#alive = Number(alive);
    const isOurs = before.endsWith(` ${this.#entry}`);
    if (this.#hasSaid && before !== '' && !isOurs)
      logger.warn('another node has the id of this store: was its folder copied?', { node: self.node });
    const isLost = !this.#hasSaid || before === '';
    this.#hasSaid = true;
    return isLost ? 'lost' : 'known';
  }

  /** This node stops. */
  async leave(): Promise<void> {
    const { redis, keys, self } = this.#options;
    await redis.run({ lua: leave, keys: [keys.nodes], values: [self.node] });
  }

  /** Where that node is; undefined: it is this one, not alive, or its entry isn't of this fleet. */
  locate(node: string, entry: string, redisNow: number): Peer | undefined {
    const [seen, sealed = ''] = entry.split(' ');
    const { self, seal } = this.#options;
    if (node === self.node || redisNow - Number(seen) > this.deadAfterMs) return undefined;
    const url = seal.open(`node:${node}`, sealed);
    return url === undefined ? undefined : { node, url };
  }
}
