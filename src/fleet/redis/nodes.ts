/**
 * The nodes of the fleet and their URLs: each node writes its entry into one HASH every few seconds, by Redis' own clock. URLs are signed, so
 * that write access to Redis isn't enough to make the nodes dial anything. A node's id is its store's, so hints outlive a restart.
 */
import type { Logger } from '../../telemetry/logger.ts';
import type { SignedValues } from '../signature.ts';
import { type FleetKeys, type FleetRedis, textsOf } from './fleet-redis.ts';

export interface Peer {
  readonly node: string;
  /** Without a trailing slash. */
  readonly url: string;
}

export interface NodesOptions {
  readonly redis: FleetRedis;
  readonly keys: FleetKeys;
  readonly signedValues: SignedValues;
  readonly logger: Logger;
  readonly self: Peer;
  readonly heartbeatMs: number;
}

/** A node that wasn't seen for so many heartbeats isn't asked. */
const missedBeats = 5;
const forgetAfterMs = 7 * 24 * 3600_000;

/** KEYS: nodes. ARGV: node, entry, dead after ms, forget after ms. Gives the entry before this one ('': none) and how many are alive. */
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
  #hasEntry = false;

  constructor(options: NodesOptions) {
    this.#options = options;
    const { self, signedValues } = options;
    this.#entry = signedValues.sign(`node:${self.node}`, self.url);
  }

  get self(): Peer {
    return this.#options.self;
  }

  /** How many were seen lately, this one among them; as of the last heartbeat. */
  get alive(): number {
    return this.#alive;
  }

  /** A node whose entry is older is dead. Milliseconds. */
  get deadAfterMs(): number {
    return missedBeats * this.#options.heartbeatMs;
  }

  /** `lost`: Redis answers and had no entry of this node; `away`: it doesn't answer. */
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
    if (this.#hasEntry && before !== '' && !isOurs)
      logger.warn('another node uses the id of this store, its folder may be a copy', { node: self.node });
    const isLost = !this.#hasEntry || before === '';
    this.#hasEntry = true;
    return isLost ? 'lost' : 'known';
  }

  /** This node stops. */
  async leave(): Promise<void> {
    const { redis, keys, self } = this.#options;
    await redis.run({ lua: leave, keys: [keys.nodes], values: [self.node] });
  }

  /** Undefined: it is this node, it isn't alive, or its entry isn't signed by this fleet. */
  locate(node: string, entry: string, redisNow: number): Peer | undefined {
    const [seen, signedUrl = ''] = entry.split(' ');
    const { self, signedValues } = this.#options;
    if (node === self.node || redisNow - Number(seen) > this.deadAfterMs) return undefined;
    const url = signedValues.verify(`node:${node}`, signedUrl);
    return url === undefined ? undefined : { node, url };
  }
}
