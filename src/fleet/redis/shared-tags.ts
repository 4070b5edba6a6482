/**
 * What the fleet knows about tags: where each pointed when some node last asked, so that one node asks and the others
 * take its word while it is fresh. At most one of them asks at a time; the others wait for what it finds.
 *
 * Guarantees: a value counts only when it was sealed with the fleet's secret for this very name and time, so whoever can
 * write to Redis can't move a tag; without Redis every node asks by itself, and nobody waits for it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isDigest } from '../../oci/digest.ts';
import type { Descriptor } from '../../oci/manifest.ts';
import type { FleetCommands } from './fleet-redis.ts';
import type { SignedValues } from './signed-value.ts';

export interface SharedTagsOptions {
  /** Undefined: it is away for now. */
  redis(): FleetCommands | undefined;
  /** `tag:NAME` with the fleet's prefix. */
  key(name: string): string;
  readonly seal: SignedValues;
  /** Who takes the right to ask; random, anew at each start. */
  readonly node: string;
  readonly ttlMs: number;
  /** Milliseconds since the epoch. The nodes' clocks have to agree as well as their ttl is long. */
  now(): number;
}

export interface SharedTag {
  readonly descriptor: Descriptor;
  readonly checkedAt: number;
  /** The node that asked has the manifest itself, not only where the tag points. */
  readonly isFetched: boolean;
}

/** What a node's own question found. */
export interface FoundTag {
  readonly descriptor: Descriptor;
  /** Left out: just now. */
  readonly checkedAt?: number;
  readonly bytes?: Buffer;
}

export interface AskOptions {
  readonly signal: AbortSignal;
  /** The client wants it checked now: only this node's own question will do. */
  readonly mustCheck?: boolean;
}

/** A node that dies while it asks holds the others up for this long. */
const askingMs = 5000;
const pollMs = 50;
/** Clocks may differ by that much. */
const skewMs = 5000;

/** KEYS: tag. ARGV: the value seen (or ''), node, askingMs. Gives 'changed', 'wait' or 'ask'. */
const takeScript = `
local value, asker = unpack(redis.call('HMGET', KEYS[1], 'value', 'asker'))
if (value or '') ~= ARGV[1] then return 'changed' end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local until_ms = tonumber(redis.call('HGET', KEYS[1], 'until') or '0')
if asker and asker ~= ARGV[2] and until_ms > now and until_ms <= now + tonumber(ARGV[3]) then return 'wait' end
redis.call('HSET', KEYS[1], 'asker', ARGV[2], 'until', string.format('%.0f', now + tonumber(ARGV[3])))
if not value then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 'ask'
`;

/** KEYS: tag. ARGV: node, value (or '' when there is none), how long to keep it in ms. */
const settleScript = `
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], 'value', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
if redis.call('HGET', KEYS[1], 'asker') == ARGV[1] then redis.call('HDEL', KEYS[1], 'asker', 'until') end
return 1
`;

export class SharedTags {
  readonly #options: SharedTagsOptions;

  constructor(options: SharedTagsOptions) {
    this.#options = options;
  }

  /**
   * What another node found within the ttl, or what `ask` finds, which the others are told then.
   * Errors: those of `ask`; the signal's reason.
   */
  async once<T extends FoundTag>(
    name: string,
    options: AskOptions,
    ask: () => Promise<T>,
  ): Promise<{ readonly shared: SharedTag } | { readonly asked: T }> {
    for (const waitedFrom = performance.now(); ; ) {
      const known = await this.#read(name);
      if (known?.tag !== undefined && options.mustCheck !== true) return { shared: known.tag };
      const turn = known === undefined ? 'alone' : await this.#take(name, known.value);
      const isPatient = performance.now() - waitedFrom < askingMs && options.mustCheck !== true;
      if (turn === 'changed' && isPatient) continue;
      if (turn === 'wait' && isPatient) {
        await delay(pollMs, undefined, { signal: options.signal });
        continue;
      }
      return { asked: await this.#ask(name, ask) };
    }
  }

  async #ask<T extends FoundTag>(name: string, ask: () => Promise<T>): Promise<T> {
    let found: T | undefined;
    try {
      found = await ask();
      return found;
    } finally {
      await this.#settle(name, found);
    }
  }

  /** Undefined: Redis is away. `tag` undefined: nothing there that is sealed and fresh. */
  async #read(
    name: string,
  ): Promise<{ readonly value: string; readonly tag: SharedTag | undefined } | undefined> {
    const { redis, key } = this.#options;
    try {
      const value = await redis()?.hget(key(name), 'value');
      return value === undefined ? undefined : { value: value ?? '', tag: this.#open(name, value ?? '') };
    } catch {
      return undefined; // away, or something else lies under that key: the connection reports it, the tag is asked for
    }
  }

  #open(name: string, value: string): SharedTag | undefined {
    const { seal, now, ttlMs } = this.#options;
    const text = seal.open(`tag:${name}`, value);
    const tag = text === undefined ? undefined : parseTag(text);
    if (tag === undefined) return undefined;
    const ageMs = now() - tag.checkedAt;
    return ageMs < ttlMs && ageMs > -skewMs ? tag : undefined;
  }

  async #take(name: string, seen: string): Promise<'changed' | 'wait' | 'ask' | 'alone'> {
    const { redis, key, node } = this.#options;
    try {
      const turn = await redis()?.eval(takeScript, 1, key(name), seen, node, `${askingMs}`);
      return turn === 'changed' || turn === 'wait' || turn === 'ask' ? turn : 'alone';
    } catch {
      return 'alone';
    }
  }

  async #settle(name: string, found: FoundTag | undefined): Promise<void> {
    const { redis, key, node, seal, ttlMs, now } = this.#options;
    const value = found === undefined ? '' : seal.close(`tag:${name}`, formatTag(found, now()));
    const keepMs = `${Math.max(ttlMs, 60_000)}`;
    try {
      await redis()?.eval(settleScript, 1, key(name), node, value, keepMs);
    } catch {
      // away: the others ask by themselves
    }
  }
}

function formatTag({ descriptor, checkedAt, bytes }: FoundTag, now: number): string {
  const { digest, mediaType, size } = descriptor;
  const isFetched = bytes !== undefined;
  return JSON.stringify({ digest, mediaType, size, checkedAt: checkedAt ?? now, isFetched });
}

function parseTag(text: string): SharedTag | undefined {
  const found: unknown = JSON.parse(text); // sealed: written by a node
  if (typeof found !== 'object' || found === null) return undefined;
  const { digest, mediaType, size, checkedAt, isFetched } = found as Readonly<Record<string, unknown>>;
  if (typeof digest !== 'string' || !isDigest(digest) || typeof mediaType !== 'string') return undefined;
  if (typeof size !== 'number' || typeof checkedAt !== 'number') return undefined;
  return { descriptor: { digest, mediaType, size }, checkedAt, isFetched: isFetched === true };
}
