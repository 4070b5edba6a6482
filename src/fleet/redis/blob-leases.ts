/**
 * Who gets a blob from where, told by Redis in one round trip: a node that holds it, the node that downloads it, or this
 * node itself, which then has the lease. A lease is a token that expires; it is renewed and given back by compare, and it
 * fences nothing: every node verifies what it gets, so two that download the same cost bytes and no more.
 */
import type { Digest } from '../../oci/digest.ts';
import type { FleetKeys } from './fleet-keys.ts';
import { type FleetRedis, textsOf } from './fleet-redis.ts';
import { holderTtlMs } from './holders.ts';
import type { Nodes, Peer } from './nodes.ts';

/** `holders`: alive ones, in a random order. */
export type Claim =
  /** This node has the lease. */
  | { readonly kind: 'ours' }
  /** `owner` undefined: it isn't among the living; its lease runs out. */
  | {
      readonly kind: 'theirs';
      readonly owner: Peer | undefined;
      readonly token: string;
      readonly holders: readonly Peer[];
    }
  /** Nobody downloads it; the lease wasn't taken. */
  | { readonly kind: 'nobody'; readonly holders: readonly Peer[] }
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
 * KEYS: lease, holders, nodes. ARGV: node, token, ttl in ms, `look`, `take` (unless somebody holds it) or `insist`,
 * how many holders, then nodes that turned out to hold it not. Gives the owner's token ('': nobody), now, and pairs of
 * node and entry: the owner first, then the holders. A lease of an earlier life of this node counts as nobody's.
 */
const claim = `
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

/** KEYS: lease. ARGV: token, ttl in ms. Takes it again when nobody has it. Gives 'ours' or 'lost'. */
const renew = `
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 'lost' end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 'ours'`;

/** KEYS: lease, holders. ARGV: token, node ('': it doesn't hold it), ttl of the hint in ms. */
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

  /** `how`: `look` takes nothing; `take` takes the lease when nobody has it and nobody holds the blob; `insist` also then. */
  async claim(digest: Digest, how: 'look' | 'take' | 'insist', wrong: Iterable<string> = []): Promise<Claim> {
    const { redis, keys, nodes, token, leaseMs } = this.#options;
    const answer = await redis.run({
      lua: claim,
      keys: [keys.lease(digest), keys.holders(digest), keys.nodes],
      values: [nodes.self.node, token, String(leaseMs), how, String(maxHolders), ...wrong],
    });
    if (answer === 'away') return { kind: 'away' };
    const [owner = '', now, ...pairs] = textsOf(answer.reply);
    if (owner === token) return { kind: 'ours' };
    const located: (Peer | undefined)[] = [];
    for (let index = 0; index < pairs.length; index += 2)
      located.push(nodes.locate(pairs[index] ?? '', pairs[index + 1] ?? '', Number(now)));
    const first = owner === '' ? undefined : located.shift();
    const holders = located.filter(peer => peer !== undefined);
    return owner === ''
      ? { kind: 'nobody', holders }
      : { kind: 'theirs', owner: first, token: owner, holders };
  }

  /** `lost`: another node has it meanwhile. */
  async renew(digest: Digest): Promise<'ours' | 'lost' | 'away'> {
    const { redis, keys, token, leaseMs } = this.#options;
    const values = [token, String(leaseMs)];
    const answer = await redis.run({ lua: renew, keys: [keys.lease(digest)], values });
    if (answer === 'away') return 'away';
    return answer.reply === 'lost' ? 'lost' : 'ours';
  }

  /** Gives the lease back, if it is ours, and says that we hold the blob, in one step: nobody finds neither. */
  async release(digest: Digest, isHeld: boolean): Promise<void> {
    const { redis, keys, nodes, token } = this.#options;
    const values = [token, isHeld ? nodes.self.node : '', String(holderTtlMs)];
    await redis.run({ lua: release, keys: [keys.lease(digest), keys.holders(digest)], values });
  }

  /** The token of the node that has the lease now; '': nobody; undefined: Redis is away. */
  async owner(digest: Digest): Promise<string | undefined> {
    const { redis, keys } = this.#options;
    const answer = await redis.run({ lua: current, keys: [keys.lease(digest)], values: [] });
    return answer === 'away' ? undefined : String(answer.reply);
  }
}
