/**
 * Tags as the fleet last found them: one node asks the upstream, the others take its answer while it is fresh, or wait for it while it asks.
 *
 * Guarantees: a value counts only with the fleet's signature for this name and time, so write access to Redis isn't enough to move a tag;
 * without Redis every node asks by itself and none waits.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Descriptor, parseDescriptor } from '../../oci/manifest.ts';
import type { SignedValues } from '../signature.ts';
import type { FleetCommands } from './fleet-redis.ts';

export interface SharedTagsOptions {
  /** Undefined: Redis is away. */
  redis(): FleetCommands | undefined;
  /** See `FleetKeys.tag`. */
  key(name: string): string;
  readonly signedValues: SignedValues;
  /** This node, which takes the right to ask. */
  readonly node: string;
  readonly ttlMs: number;
  /** Milliseconds since the epoch. The nodes' clocks must differ by less than the ttl. */
  now(): number;
}

export interface SharedTag {
  readonly descriptor: Descriptor;
  readonly checkedAt: number;
  /** The node that asked has the manifest itself, not only where the tag points. */
  readonly isFetched: boolean;
}

/** What the upstream answered this node. */
export interface FoundTag {
  readonly descriptor: Descriptor;
  /** Absent: now. */
  readonly checkedAt?: number;
  readonly bytes?: Buffer;
}

export interface AskOptions {
  readonly signal: AbortSignal;
  /** The client wants it checked now: the answer to another node won't do. */
  readonly mustCheck?: boolean;
}

/** The others wait this long for a node that died while it asked. */
const askingMs = 5000;
const pollMs = 50;
/** Clocks may differ by this much. */
const skewMs = 5000;

/** KEYS: tag. ARGV: the value seen (or ''), node, askingMs. Gives 'changed', 'wait', or 'ask' with the right to ask. */
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
   * What another node found within the ttl, or what `ask` finds, which is then shared with the others.
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
      const right = known === undefined ? 'alone' : await this.#takeRight(name, known.value);
      const isPatient = performance.now() - waitedFrom < askingMs && options.mustCheck !== true;
      if (right === 'changed' && isPatient) continue;
      if (right === 'wait' && isPatient) {
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

  /** Undefined: Redis is away. `tag` undefined: no signed and fresh value. */
  async #read(
    name: string,
  ): Promise<{ readonly value: string; readonly tag: SharedTag | undefined } | undefined> {
    const { redis, key } = this.#options;
    try {
      const value = await redis()?.hget(key(name), 'value');
      return value === undefined ? undefined : { value: value ?? '', tag: this.#verify(name, value ?? '') };
    } catch {
      return undefined; // away, or the key has another type
    }
  }

  #verify(name: string, value: string): SharedTag | undefined {
    const { signedValues, now, ttlMs } = this.#options;
    const text = signedValues.verify(`tag:${name}`, value);
    const tag = text === undefined ? undefined : parseTag(text);
    if (tag === undefined) return undefined;
    const ageMs = now() - tag.checkedAt;
    return ageMs < ttlMs && ageMs > -skewMs ? tag : undefined;
  }

  async #takeRight(name: string, seen: string): Promise<'changed' | 'wait' | 'ask' | 'alone'> {
    const { redis, key, node } = this.#options;
    try {
      const right = await redis()?.eval(takeScript, 1, key(name), seen, node, `${askingMs}`);
      return right === 'changed' || right === 'wait' || right === 'ask' ? right : 'alone';
    } catch {
      return 'alone';
    }
  }

  async #settle(name: string, found: FoundTag | undefined): Promise<void> {
    const { redis, key, node, signedValues, ttlMs, now } = this.#options;
    const value = found === undefined ? '' : signedValues.sign(`tag:${name}`, formatTag(found, now()));
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
  const found: unknown = JSON.parse(text); // signed: written by a node
  const descriptor = parseDescriptor(found);
  if (descriptor === undefined) return undefined;
  const { checkedAt, isFetched } = found as Readonly<Record<string, unknown>>;
  return typeof checkedAt === 'number' ? { descriptor, checkedAt, isFetched: isFetched === true } : undefined;
}
