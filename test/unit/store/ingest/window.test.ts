/** The pieces of a window: small chunks are joined, and what was given out never changes. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Window, WindowBudget } from '../../../../src/store/ingest/window.ts';

const unbounded = { bytesOfOne: 1e9, bytesOfAll: 1e9 };

function bytesOf(at: number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, index) => (at + index) % 251));
}

test('a megabyte that comes byte by byte is a few pieces, and is written in few runs', () => {
  const window = new Window(new WindowBudget(unbounded));
  const size = 1024 * 1024;
  let runs = 0;
  for (let at = 0; at < size; at += 1) {
    window.add({ at, bytes: bytesOf(at, 1) });
    if (at % 100_000 !== 99_999) continue;
    window.wrote(window.nextRun());
    runs += 1;
  }
  let pieces = 0;
  for (let at = 0; at < size; pieces += 1) {
    const found = window.find(at);
    expect(found?.equals(bytesOf(at, found.length))).toBe(true);
    at += found?.length ?? size;
  }
  expect(pieces).toBeLessThanOrEqual(size / (16 * 1024) + runs + 1);
  expect(window.unwrittenBytes).toBe(size - runs * 100_000);
});

test('whatever comes and is written: each byte is found, what was given out stays, and runs have all of it once', () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('add' as const),
      length: fc.integer({ min: 1, max: 9000 }),
      gap: fc.nat(1),
    }),
    fc.record({
      kind: fc.constantFrom('begin' as const, 'end' as const),
      length: fc.constant(0),
      gap: fc.constant(0),
    }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps => {
      const window = new Window(new WindowBudget(unbounded));
      const held: { readonly at: number; readonly bytes: Buffer }[] = [];
      const written: { readonly at: number; readonly end: number }[] = [];
      let [next, total] = [0, 0];
      let run: ReturnType<Window['nextRun']> | undefined;
      for (const { kind, length, gap } of steps) {
        if (kind === 'add') {
          next += gap;
          window.add({ at: next, bytes: bytesOf(next, length) });
          const given = window.find(next);
          if (given !== undefined) held.push({ at: next, bytes: given });
          next += length;
          total += length;
        } else if (kind === 'begin') run ??= window.nextRun();
        else if (run !== undefined) {
          written.push(...run.map(({ at, bytes }) => ({ at, end: at + bytes.length })));
          window.wrote(run);
          run = undefined;
        }
      }
      if (run !== undefined) {
        written.push(...run.map(({ at, bytes }) => ({ at, end: at + bytes.length })));
        window.wrote(run);
      }
      while (window.unwrittenBytes > 0) {
        run = window.nextRun();
        written.push(...run.map(({ at, bytes }) => ({ at, end: at + bytes.length })));
        window.wrote(run);
      }
      expect(written.reduce((sum, { at, end }) => sum + end - at, 0)).toBe(total);
      for (const [index, { at }] of written.entries())
        expect(at).toBeGreaterThanOrEqual(written[index - 1]?.end ?? 0);
      for (const { at, bytes } of held) expect(bytes.equals(bytesOf(at, bytes.length))).toBe(true);
    }),
    { numRuns: 200 },
  );
});
