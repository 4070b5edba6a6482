/** `POST /api/v1/actions/NAME` and `/api/v1/jobs/ID`: every change is a job, which goes on when its client leaves. */
import { z } from 'zod';
import { actionName } from './session.ts';
import { bytes, count, imageText, list, time } from './values.ts';

const maxImages = 1000;

export const actionRequest = z.strictObject({
  /** Empty only for `gc` and `scrub`, which are about everything. */
  images: z.array(imageText).max(maxImages).default([]),
  /** Says what would happen. Known by `evict`, `delete` and `gc`; with the others it is refused. */
  dryRun: z.boolean().default(false),
  /** `warm` and `promote`: `os/architecture[/variant]`; none: all. */
  platforms: z.array(z.string().max(100)).max(20).default([]),
  /** `promote`: the hosted image that it becomes. One image then. */
  to: imageText.optional(),
  /** `restore`: the digest that the tag gets back; absent: that before the last move. */
  digest: z.string().max(200).optional(),
});

export const actionAnswer = z.object({ job: z.string().describe('for /api/v1/jobs/ID') });

export const jobResult = z.object({
  /** Null: the job as a whole. */
  image: z.string().nullable(),
  /** A sentence: what was done, or would be. */
  summary: z.string(),
  freedBytes: bytes.nullable(),
  fetchedBytes: bytes.nullable(),
  /** That go, or come. */
  tags: list(z.string()),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
});

export const jobAnswer = z.object({
  id: z.string(),
  action: actionName,
  dryRun: z.boolean(),
  images: list(z.string()),
  state: z.enum(['queued', 'running', 'done', 'failed']).describe('failed: a result has an error'),
  user: z.string().nullable(),
  createdAt: time,
  endedAt: time.nullable(),
  /** Parts of the job: images, or what a scrub has read. Null: not known. */
  progress: z.object({ done: count, total: count.nullable(), what: z.string() }),
  results: list(jobResult),
});

export type ActionRequest = z.infer<typeof actionRequest>;
export type ActionAnswer = z.infer<typeof actionAnswer>;
export type JobResult = z.infer<typeof jobResult>;
export type JobAnswer = z.infer<typeof jobAnswer>;
