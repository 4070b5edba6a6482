/**
 * Whether a held tag or list goes out as it is, is checked first, or goes out stale: pure functions of its age, the policy and
 * the upstream's state.
 */
import { allowRepositories } from '../../oci/name.ts';
import type { StaleReason } from '../../registry/registry.ts';
import { isAccessRefusal, UpstreamError } from '../../registry/upstream-error.ts';

export interface TagPolicy {
  readonly ttlMs: number;
  /** Tags with a ttl of their own: the first that fits counts. */
  readonly patterns?: readonly TagRule[];
  /** How long a client waits for a check before the held answer goes out stale. */
  readonly checkTimeoutMs: number;
  /** How old a held tag may be while the upstream can't be asked; Infinity: no limit. */
  readonly staleIfErrorMs: number;
  readonly on404: 'keep' | 'honour';
  /** How long it is remembered that a manifest, a tag or a list of referrers is missing. */
  readonly negativeTtlMs: number;
}

export interface TagRule {
  /** Patterns over canonical names (`docker.io/library/**`). */
  readonly repositories: readonly string[];
  /** `*` stands for any characters. */
  readonly tags: readonly string[];
  readonly ttlMs: number;
}

/** How long a tag goes out without a check. */
export class TagTtls {
  readonly #ttlMs: number;
  readonly #rules: readonly { fits(name: string, tag: string): boolean; readonly ttlMs: number }[];

  constructor({ ttlMs, patterns = [] }: Pick<TagPolicy, 'ttlMs' | 'patterns'>) {
    this.#ttlMs = ttlMs;
    this.#rules = patterns.map(rule => {
      const hasRepository = allowRepositories(rule.repositories, []);
      const tags = rule.tags.map(compileTagPattern);
      const fits = (name: string, tag: string) =>
        tags.some(pattern => pattern.test(tag)) && hasRepository(name);
      return { fits, ttlMs: rule.ttlMs };
    });
  }

  /** `name`: the canonical one of the repository. */
  of(name: string, tag: string): number {
    if (this.#rules.length === 0) return this.#ttlMs;
    return this.#rules.find(rule => rule.fits(name, tag))?.ttlMs ?? this.#ttlMs;
  }
}

function compileTagPattern(pattern: string): RegExp {
  const parts = pattern.split(/\*+/).map(part => part.replace(/\./g, '\\.'));
  return new RegExp(`^${parts.join('.*')}$`);
}

export interface UpstreamState {
  readonly offline: boolean;
  readonly away: boolean;
  readonly pausedUntil: number | undefined;
}

/** `ask`: nothing that is held may go out. `check`: the upstream must confirm what is held. */
export type Decision =
  | { readonly kind: 'fresh' }
  | { readonly kind: 'check' }
  | { readonly kind: 'ask' }
  | { readonly kind: 'stale'; readonly reason: StaleReason };

/** Goes out without a check. A check in the future counts as none: the clock was set back. */
export function isFresh(checkedAt: number, now: number, { ttlMs }: Pick<TagPolicy, 'ttlMs'>): boolean {
  const ageMs = now - checkedAt;
  return ageMs >= 0 && ageMs < ttlMs;
}

export function decide(
  checkedAt: number | undefined,
  now: number,
  policy: Pick<TagPolicy, 'ttlMs' | 'staleIfErrorMs'>,
  upstream: UpstreamState,
  mustCheck: boolean,
): Decision {
  if (checkedAt === undefined) return { kind: 'ask' };
  if (!mustCheck && isFresh(checkedAt, now, policy)) return { kind: 'fresh' };
  const reason = reasonNotToAsk(now, upstream);
  if (reason === undefined) return { kind: 'check' };
  return now - checkedAt <= policy.staleIfErrorMs ? { kind: 'stale', reason } : { kind: 'ask' };
}

function reasonNotToAsk(now: number, upstream: UpstreamState): StaleReason | undefined {
  if (upstream.offline) return 'offline';
  if (upstream.away) return 'unreachable';
  return upstream.pausedUntil !== undefined && upstream.pausedUntil > now ? 'rate-limited' : undefined;
}

/** Why the held answer goes out after a failed check. Undefined: it must not (`on_404: honour`, or too old). */
export function staleAfter(
  error: unknown,
  checkedAt: number,
  now: number,
  policy: Pick<TagPolicy, 'staleIfErrorMs' | 'on404'>,
): StaleReason | undefined {
  if (!(error instanceof UpstreamError)) return undefined;
  if (error.failure === 'gone') return policy.on404 === 'keep' ? 'gone' : undefined;
  if (now - checkedAt > policy.staleIfErrorMs) return undefined;
  if (error.failure === 'limited' || error.failure === 'paused') return 'rate-limited';
  if (isAccessRefusal(error.failure)) return 'refused';
  return error.failure === 'offline' ? 'offline' : 'unreachable';
}
