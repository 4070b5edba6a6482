/**
 * What changes the index in Redis: each script is one atomic step for a batch of blobs, and may be repeated after a timeout
 * without harm. All take the keys `lru`, `size`, `bytes` and answer how many last uses and sizes there are now, and `bytes`.
 */
import { createHash } from 'node:crypto';

export interface Script {
  readonly lua: string;
  /** SHA-1 of `lua`, in hex: what Redis knows it by. */
  readonly sha: string;
}

function script(body: string): Script {
  const lua = `${body}
return {redis.call('ZCARD', KEYS[1]), redis.call('HLEN', KEYS[2]), redis.call('GET', KEYS[3]) or '0'}`;
  return { lua, sha: createHash('sha1').update(lua).digest('hex') };
}

/** Blobs that are held: digest, last use, size; digest, last use, size … A last use never goes back. None: only looks. */
export const putScript = script(`local grown = 0
for i = 1, #ARGV, 3 do
  redis.call('ZADD', KEYS[1], 'GT', ARGV[i + 1], ARGV[i])
  local before = redis.call('HGET', KEYS[2], ARGV[i])
  if before ~= ARGV[i + 2] then
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 2])
    grown = grown + tonumber(ARGV[i + 2]) - (tonumber(before or '0') or 0)
  end
end
if grown ~= 0 then redis.call('INCRBY', KEYS[3], string.format('%.0f', grown)) end`);

/** Digests whose files are gone. */
export const dropScript = script(`local shrunk = 0
for i = 1, #ARGV do
  redis.call('ZREM', KEYS[1], ARGV[i])
  local before = redis.call('HGET', KEYS[2], ARGV[i])
  if before then
    redis.call('HDEL', KEYS[2], ARGV[i])
    shrunk = shrunk + (tonumber(before) or 0)
  end
end
if shrunk ~= 0 then redis.call('DECRBY', KEYS[3], string.format('%.0f', shrunk)) end`);

/** The sum of all sizes, as it must be after a reconciliation. */
export const settleScript = script(`redis.call('SET', KEYS[3], ARGV[1])`);
