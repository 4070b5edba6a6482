/**
 * Which node downloads a blob: Redis tells in one round trip which nodes hold it, which node has its lease, or gives the lease to this node.
 * A lease is a token that expires; it is renewed and given back by compare. It fences nothing: every node verifies what it gets, so two
 * nodes that download the same blob cost bytes and no more.
 */
import type { Digest } from '../../oci/digest.ts';
import { type FleetKeys, type FleetRedis, textsOf } from './fleet-redis.ts';
import { holderTtlMs } from './holders.ts';
import type { Nodes, Peer } from './nodes.ts';

/** `holders`: alive ones, in a random order. */
export type Lease =
  /** This node has the lease. */
  | { readonly kind: 'ours' }
  /** `owner` undefined: that node isn't alive, and its lease will expire. */
  | {
      readonly kind: 'theirs';
      readonly owner: Peer | undefined;
      readonly token: string;
      readonly holders: readonly Peer[];
    }
  /** No node downloads it, and the lease wasn't taken. */
  | { readonly kind: 'free'; readonly holders: readonly Peer[] }
  | { readonly kind: 'away' };

export interface BlobLeasesOptions {
  readonly redis: FleetRedis;
  readonly keys: FleetKeys;
  readonly nodes: Nodes;
  /** Random, anew at each start: `NODE.RANDOM`. */
  readonly token: string;
  readonly leaseMs: number;
}

const maxHolders = 4;

/**
 * KEYS: lease, holders, nodes. ARGV: node, token, ttl in ms, `look`, `take` or `insist`, how many holders, then nodes that don't hold it
 * after all. Gives the owner's token ('': none), now, and pairs of node and entry: the owner first, then the holders. A lease from before
 * this node was restarted counts as free.
 */
const acquire = `
for i = 6, #ARGV do redis.call('SREM', KEYS[2], ARGV[i]) end
local owner = redis.call('GET', KEYS[1])
if owner == ARGV[2] then return { owner, '0' } end
if owner and string.sub(owner, 1, #ARGV[1] + 1) == ARGV[1] .. '.' then owner = false end
local time = redis.call('TIME')
local names = {}
for _, name in ipairs(redis.call('SRANDMEMBER', KEYS[2], ARGV[5])) do
  if name ~= ARGV[1] then names[#names + 1] = name end
end
if not owner and (ARGV[4] == 'insist' or (ARGV[4] == 'take' and #names == 0)) then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  return { ARGV[2], '0' }
end
local answer = { owner or '', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)) }
if owner then table.insert(names, 1, (string.match(owner, '^[^.]*'))) end
for _, name in ipairs(names) do
  answer[#answer + 1] = name
  answer[#answer + 1] = redis.call('HGET', KEYS[3], name) or ''
end
return answer`;

/** KEYS: lease. ARGV: token, ttl in ms. Takes a free lease again. Gives 'ours' or 'lost'. */
const renew = `
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 'lost' end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 'ours'`;

/** KEYS: lease, holders. ARGV: token, node ('': this node doesn't hold the blob), ttl of the hint in ms. */
const release = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
if ARGV[2] ~= '' then
  redis.call('SADD', KEYS[2], ARGV[2])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
return 1`;

const current = `return redis.call('GET', KEYS[1]) or ''`;

export class BlobLeases {
  readonly #options: BlobLeasesOptions;

  constructor(options: BlobLeasesOptions) {
    this.#options = options;
  }

  /**
   * `look` never takes the lease; `take` takes it when it is free and no node holds the blob; `insist` takes it when it is free.
   * `missing`: nodes that don't hold the blob after all.
   */
  async acquire(
    digest: Digest,
    how: 'look' | 'take' | 'insist',
    missing: Iterable<string> = [],
  ): Promise<Lease> {
    const { redis, keys, nodes, token, leaseMs } = this.#options;
    const answer = await redis.run({
      lua: acquire,
      keys: [keys.lease(digest), keys.holders(digest), keys.nodes],
      values: [nodes.self.node, token, String(leaseMs), how, String(maxHolders), ...missing],
    });
    if (answer === 'away') return { kind: 'away' };
    const [owner = '', now, ...pairs] = textsOf(answer.reply);
    if (owner === token) return { kind: 'ours' };
    const located: (Peer | undefined)[] = [];
    for (let index = 0; index < pairs.length; index += 2)
      located.push(nodes.locate(pairs[index] ?? '', pairs[index + 1] ?? '', Number(now)));
    const first = owner === '' ? undefined : located.shift();
    const holders = located.filter(peer => peer !== undefined);
    return owner === '' ? { kind: 'free', holders } : { kind: 'theirs', owner: first, token: owner, holders };
  }

  /** `lost`: another node has it now. */
  async renew(digest: Digest): Promise<'ours' | 'lost' | 'away'> {
    const { redis, keys, token, leaseMs } = this.#options;
    const values = [token, String(leaseMs)];
    const answer = await redis.run({ lua: renew, keys: [keys.lease(digest)], values });
    if (answer === 'away') return 'away';
    return answer.reply === 'lost' ? 'lost' : 'ours';
  }

  /** Gives the lease back, if it is ours, and says that we hold the blob, in one step: no node finds neither. */
  async release(digest: Digest, isHeld: boolean): Promise<void> {
    const { redis, keys, nodes, token } = this.#options;
    const values = [token, isHeld ? nodes.self.node : '', String(holderTtlMs)];
    await redis.run({ lua: release, keys: [keys.lease(digest), keys.holders(digest)], values });
  }

  /** The token of the node that has the lease; '': it is free; undefined: Redis is away. */
  async owner(digest: Digest): Promise<string | undefined> {
    const { redis, keys } = this.#options;
    const answer = await redis.run({ lua: current, keys: [keys.lease(digest)], values: [] });
    return answer === 'away' ? undefined : String(answer.reply);
  }
}
