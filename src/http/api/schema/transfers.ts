/** `/api/v1/transfers` and `/api/v1/events`: what runs now. Names and digests only of repositories that the caller may pull. */
import { z } from 'zod';
import { jobAnswer } from './actions.ts';
import { downloadFigures } from './stats.ts';
import { bytes, count, digest, list, time } from './values.ts';

export const download = downloadFigures.extend({
  /** Null: not for this caller. */
  digest: digest.nullable(),
  repository: z.string().nullable(),
});

export const upload = z.object({
  /** Null: not for this caller. */
  repository: z.string().nullable(),
  user: z.string().nullable(),
  startedAt: time,
  bytes: bytes.describe('written so far; the whole size is known only at the end'),
  bytesPerSecond: z.number(),
});

export const transfersAnswer = z.object({ downloads: list(download), uploads: list(upload) });

/** Event `sample`, once a second, and at once after connecting. */
export const sampleEvent = z.object({
  at: time,
  transfers: transfersAnswer,
  store: z.object({ bytes, blobs: count, limitBytes: bytes.nullable(), freeBytes: bytes.nullable() }),
  /** Since the start of the daemon. */
  requests: count,
  hits: count,
  servedBytes: bytes,
  upstreamBytes: bytes,
});

/** Event `job`: of a job that the caller began, at each change of its state and at most once a second of its progress. */
export const jobEvent = jobAnswer;

export type TransferDownload = z.infer<typeof download>;
export type TransferUpload = z.infer<typeof upload>;
export type TransfersAnswer = z.infer<typeof transfersAnswer>;
export type SampleEvent = z.infer<typeof sampleEvent>;
