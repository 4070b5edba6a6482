/** What `million-index` prints, as one line of JSON, and `million-blobs.bench.ts` reads. */
import { z } from 'zod';

const step = z.object({ seconds: z.number(), cpuSeconds: z.number(), longestMs: z.number() });

export const indexFigures = z.object({
  load: step,
  fill: step,
  touch: step,
  tell: step,
  evict: step,
  compare: step,
  /** How many of them `touch` and `evict` measured. */
  touches: z.number(),
  evicted: z.number(),
  /** Of resident memory. */
  peakBytes: z.number(),
});

export type Step = z.infer<typeof step>;
export type IndexFigures = z.infer<typeof indexFigures>;
