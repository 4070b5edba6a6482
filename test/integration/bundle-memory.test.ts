/** Bundles are streams: an export that is piped into an import takes no more memory for a large layer than for a small one. */
import { expect, test } from 'vitest';
import { measurePipe } from '../support/bundle-memory.ts';

/** MiB. Garbage that is not collected yet makes a peak vary by 15; a layer that is held whole would be 67 more. */
const tolerance = 32;

test('an export piped into an import: a layer of 80 MB takes as much memory as one of 10 MB, in all four processes', async () => {
  const small = await measurePipe([10_000_000]);
  const large = await measurePipe([80_000_000]);
  for (const process of ['export', 'import', 'source', 'target'] as const)
    expect(large[process] - small[process], process).toBeLessThan(tolerance);
});
