/** Bundles of 2 GB: an export that is piped into an import takes as much memory as for 200 MB. */
import { expect, test } from 'vitest';
import { measurePipe, type Peaks } from '../support/bundle-memory.ts';

/** MiB. */
const tolerance = 16;

test('the peaks of export and import, and of both daemons, are within 16 MiB of those for 200 MB', async () => {
  // Garbage that is not collected yet makes a peak vary by as much: of two runs the higher counts for 200 MB, the lower for 2 GB.
  const small = await measureTwice(Array<number>(4).fill(50_000_000));
  const large = await measureTwice([...Array<number>(20).fill(50_000_000), 1_000_000_000]);
  for (const process of ['export', 'import', 'source', 'target'] as const) {
    const [lower, higher] = [Math.min(...large[process]), Math.max(...small[process])];
    expect(lower - higher, process).toBeLessThan(tolerance);
  }
});

async function measureTwice(layerBytes: readonly number[]): Promise<Record<keyof Peaks, readonly number[]>> {
  const runs = [await measurePipe(layerBytes), await measurePipe(layerBytes)];
  const of = (process: keyof Peaks) => runs.map(peaks => peaks[process]);
  return { export: of('export'), import: of('import'), source: of('source'), target: of('target') };
}
