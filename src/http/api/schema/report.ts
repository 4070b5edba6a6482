/** `/api/v1/report`: was it worth it, from the sums that `cistern report` prints; names only of what the caller may pull. */
import { z } from 'zod';
import { bytes, count, list, time } from './values.ts';

export const reportQuery = z.object({
  /** Days back from now. */
  days: z.coerce.number().int().min(1).max(400).default(30),
  /** Money per GB. */
  price: z.coerce.number().min(0).max(1000).optional(),
});

const named = z.object({ image: z.string(), bytes: bytes.nullable(), at: time.nullable() });

export const reportAnswer = z.object({
  since: time,
  until: time,
  upstreams: list(
    z.object({
      upstream: z.string(),
      pulls: count,
      servedBytes: bytes,
      fetchedBytes: bytes,
      countedRequests: count.describe('that counted against the pull limit'),
      avoidedRequests: count.describe('that would have counted without this mirror'),
      evictedTooEarly: count.describe('blobs that were evicted and needed again within a week'),
      evictedTooEarlyBytes: bytes,
      savedMoney: z.number().nullable().describe('for the price that was asked with'),
    }),
  ),
  neverPulledAgain: list(named),
  /** Those of the last week that are remembered, since the start of the daemon. */
  evictedTooEarly: list(named),
  failedOffline: list(named),
});

export type ReportQuery = z.infer<typeof reportQuery>;
export type ReportAnswer = z.infer<typeof reportAnswer>;
