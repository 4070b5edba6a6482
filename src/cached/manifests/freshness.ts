/**
 * Whether a held tag goes out as it is, is checked first, or goes out stale: a pure function of what is held, the time,
 * the policy and how the upstream is doing. Nothing is asked here.
 */
import type { StaleReason } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';

export interface TagPolicy {
  readonly ttlMs: number;
  /** How long a client waits for a check before the held answer goes out stale. */
  readonly checkTimeoutMs: number;
  /** How old a held tag may be while the upstream can't be asked; Infinity: for ever. */
  readonly staleIfErrorMs: number;
  readonly on404: 'keep' | 'honour';
  /** How long a miss of a referrer or signature is remembered. */
  readonly negativeTtlMs: number;
}

export interface UpstreamState {
  readonly offline: boolean;
  readonly away: boolean;
  readonly pausedUntil: number | undefined;
}

/** `ask`: nothing held that may go out; `check`: held, but the upstream must confirm it. */
export type Decision =
  | { readonly kind: 'fresh' }
  | { readonly kind: 'check' }
  | { readonly kind: 'ask' }
  | { readonly kind: 'stale'; readonly reason: StaleReason };

/** Young enough to go out without a question, whatever the upstream does. A time to come is none to rely on. */
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

/** What a failed check means for the held answer; undefined: it must not go out (`on_404: honour`, or too old). */
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
  if (error.failure === 'denied') return 'refused';
  return error.failure === 'offline' ? 'offline' : 'unreachable';
}
