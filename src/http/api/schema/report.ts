/** `/api/v1/report`: was it worth it. As `cistern report --json`; names only of what the caller may pull. */
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
      savedMoney: z.number().nullable(),
    }),
  ),
  neverPulledAgain: list(named),
  evictedTooEarly: list(named),
  failedOffline: list(named),
});

export type ReportQuery = z.infer<typeof reportQuery>;
export type ReportAnswer = z.infer<typeof reportAnswer>;
