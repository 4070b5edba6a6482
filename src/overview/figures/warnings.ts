/** What an operator should look at now, as sentences: from the figures of `stats` and the certificates. */
import type { StatsReport } from '../../admin/admin.ts';
import type { Warning } from '../../http/api/schema/stats.ts';
import { formatBytes, formatSpan } from '../../lib/format.ts';

export interface WarningsContext {
  /** Unix times in seconds, by name: `main`, hosts, `ca`. */
  readonly expiries: ReadonlyMap<string, number>;
  /** Text: what refused clients are told. */
  readonly readOnly: boolean | string;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
}

/** An own certificate is renewed long before that. */
const expirySoonMs = 14 * 24 * 3_600_000;
const lowShare = 0.1;
const lowDiskBytes = 1024 ** 3;

export function warningsOf(
  { store, daemon }: StatsReport,
  { expiries, readOnly, nowMs }: WarningsContext,
): readonly Warning[] {
  const warnings: Warning[] = [];
  const warn = (kind: Warning['kind'], subject: string | null, message: string) =>
    warnings.push({ kind, subject, message });
  for (const [name, seconds] of expiries) {
    const leftMs = seconds * 1000 - nowMs;
    if (leftMs <= 0) warn('certificate', name, `the certificate ${name} has expired`);
    else if (leftMs < expirySoonMs)
      warn('certificate', name, `the certificate ${name} expires in ${formatSpan(leftMs)}`);
  }
  for (const {
    upstream,
    breakerOpen,
    credentials,
    pausedUntil,
    rateLimit,
    rateRemaining,
  } of daemon?.upstreams ?? []) {
    if (credentials === 'refused')
      warn('credentials', upstream, `${upstream} refuses the configured credentials`);
    if (breakerOpen)
      warn('breaker', upstream, `${upstream} failed often and is not asked until a probe succeeds`);
    if (pausedUntil !== null)
      warn('rate-limit', upstream, `${upstream} asked for no requests until ${pausedUntil}`);
    else if (rateLimit !== null && rateRemaining !== null && rateRemaining < rateLimit * lowShare)
      warn('rate-limit', upstream, `${rateRemaining} of ${rateLimit} pulls from ${upstream} are left`);
  }
  if (store.freeBytes !== null && store.freeBytes < lowDiskBytes)
    warn('disk', null, `${formatBytes(store.freeBytes)} are free on the disk of the store`);
  if (daemon?.lru.up === false)
    warn('lru', null, `the LRU index in ${daemon.lru.backend} is away, this process goes by its own copy`);
  if (readOnly !== false)
    warn('read-only', null, typeof readOnly === 'string' ? readOnly : 'the private registry is read-only');
  return warnings;
}
