/** Bundles of 2 GB: an export that is piped into an import takes as much memory as for 200 MB. */
import { expect, test } from 'vitest';
import { measurePipe } from '../support/bundle-memory.ts';

/** MiB. */
const tolerance = 16;

test('the peaks of export and import, and of both daemons, are within 16 MiB of those for 200 MB', async () => {
  const small = await measurePipe(Array<number>(4).fill(50_000_000));
  const large = await measurePipe([...Array<number>(20).fill(50_000_000), 1_000_000_000]);
  for (const process of ['export', 'import', 'source', 'target'] as const)
    expect(large[process] - small[process], process).toBeLessThan(tolerance);
});
