/** `/api/v1/stats`, `/api/v1/upstreams` and `/api/v1/history`: figures, without repository names and paths of this machine. */
import { z } from 'zod';
import { bytes, count, digest, list, time } from './values.ts';

export const upstreamRow = z.object({
  upstream: z.string(),
  up: z.boolean().nullable().describe('the last exchange got an answer; null: none yet'),
  breakerOpen: z.boolean().describe('it failed often and gets no request until a probe succeeds'),
  pausedUntil: time.nullable(),
  rateLimit: count.nullable(),
  rateRemaining: count.nullable(),
  credentials: z.enum(['ok', 'refused']).nullable(),
});

export const downloadFigures = z.object({
  upstream: z.string(),
  frontBytes: bytes,
  sizeBytes: bytes.nullable(),
  followers: count,
  bytesPerSecond: z.number(),
});

export const warning = z.object({
  kind: z.enum(['certificate', 'credentials', 'breaker', 'rate-limit', 'disk', 'lru', 'read-only']),
  /** A certificate's host, an upstream. */
  subject: z.string().nullable(),
  message: z.string().describe('a sentence for people'),
});

const byOutcome = z.object({
  hit: count,
  miss: count,
  joined: count,
  stale: count,
  passthrough: count,
  error: count,
});

export const storeFigures = z.object({
  bytes,
  blobs: count,
  limitBytes: bytes.nullable(),
  limitReason: z.string(),
  freeBytes: bytes.nullable(),
  partialBytes: bytes,
  pinnedBytes: bytes,
  scanned: z.boolean().describe('false: the store is still being read after the start, and the figures grow'),
});

const warmRun = z.object({
  source: z.string().describe('warm[0]: an entry of the configuration; command'),
  startedAt: time,
  endedAt: time.nullable(),
  images: count,
  results: z.record(z.enum(['held', 'fetched', 'failed', 'skipped', 'waiting']), count),
  fetchedBytes: bytes,
  fetchedManifests: count,
  waiting: list(
    z.object({
      upstream: z.string(),
      why: z.enum(['pull-limit', 'limited', 'window']),
      until: time,
      message: z.string(),
    }),
  ),
});

/** Without the user and the repository. */
const uploadFigures = z.object({
  user: z.null(),
  startedAt: time,
  bytes,
  bytesPerSecond: z.number(),
});

const scrubFigures = z.object({
  running: z.object({ startedAt: time, files: count, bytes, heldBytes: bytes }).nullable(),
  endedAt: time.nullable().describe('of the last complete run'),
  damagedFiles: count.describe('hosted files that wait for a push'),
});

export const warmFigures = z.object({
  schedule: list(z.object({ source: z.string(), nextAt: time.nullable() })),
  /** The last run of each entry, and the last commands; the newest first. */
  runs: list(warmRun),
});

/** As `cistern stats --json`. */
export const statsAnswer = z.object({
  version: z.string(),
  store: storeFigures,
  daemon: z
    .object({
      pid: count,
      startedAt: time,
      uptimeSeconds: count,
      lru: z.object({ backend: z.string(), up: z.boolean() }),
      upstreams: list(upstreamRow),
      downloads: list(downloadFigures),
      uploads: list(uploadFigures),
      scrub: scrubFigures,
      requests: byOutcome,
      servedBytes: bytes,
      upstreamBytes: bytes,
      hitRatio: z.object({ requests: z.number().nullable(), bytes: z.number().nullable() }),
      evictions: z.object({ blobs: count, bytes }),
      warm: warmFigures.optional(),
    })
    .nullable(),
  /** Bytes that are hosted, which don't count in `store.limitBytes`; null: nothing is hosted. */
  hosted: z.object({ bytes, blobs: count, readOnly: z.union([z.boolean(), z.string()]) }).nullable(),
  warnings: list(warning),
});

export const upstreamsAnswer = z.object({ upstreams: list(upstreamRow) });

export const historyQuery = z.object({
  days: z.coerce.number().int().min(1).max(400).default(1),
});

export const historySample = z.object({
  /** The sample covers `step` from here on. */
  at: time,
  requests: count.describe('of manifests and blobs, without errors'),
  hits: count.describe('of these, answered without a transfer of their own'),
  servedBytes: bytes,
  upstreamBytes: bytes.describe('saved are servedBytes - upstreamBytes'),
});

export const historyAnswer = z.object({
  /** Minutes of the last day since the start of the daemon; hours for two days, and days before, over restarts. */
  step: z.enum(['minute', 'hour', 'day']),
  /** The oldest first; steps without a request may be left out. */
  samples: list(historySample),
});

export const coldBlob = z.object({
  /** Null: not for this caller. */
  digest: digest.nullable(),
  bytes,
  lastUsedAt: time,
  pinned: z.boolean(),
  /** One that names it and that the caller may pull; null: none, or not known yet. */
  repository: z.string().nullable(),
  /** The next eviction takes it. */
  goesNext: z.boolean(),
});

export const coldQuery = z.object({ n: z.coerce.number().int().min(1).max(1000).default(200) });

export const coldAnswer = z.object({
  /** The coldest first: at most `n`. */
  blobs: list(coldBlob),
  total: z.object({ blobs: count, bytes }),
  /** What an eviction would take if it began now: from the limit down to the low watermark. */
  nextEviction: z.object({
    blobs: count,
    bytes,
    limitBytes: bytes.nullable(),
    lowBytes: bytes.nullable(),
    heldBytes: bytes,
  }),
  /** Evicted, and fetched again within a week; the newest first, at most 100. */
  refetched: list(
    z.object({
      digest: digest.nullable(),
      repository: z.string().nullable(),
      bytes,
      evictedAt: time,
      fetchedAt: time,
    }),
  ),
});

export type UpstreamRow = z.infer<typeof upstreamRow>;
export type Warning = z.infer<typeof warning>;
export type StatsAnswer = z.infer<typeof statsAnswer>;
export type UpstreamsAnswer = z.infer<typeof upstreamsAnswer>;
export type HistorySample = z.infer<typeof historySample>;
export type HistoryAnswer = z.infer<typeof historyAnswer>;
export type ColdBlob = z.infer<typeof coldBlob>;
export type ColdAnswer = z.infer<typeof coldAnswer>;
