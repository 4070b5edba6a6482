/** Where blobs stand in the picture of what is cold. */
import fc from 'fast-check';
import { expect, it, test } from 'vitest';
import { ageScale, sizeScale, spacedTicks } from '../../../../src/ui/text/cold-scale.ts';

const hourMs = 3_600_000;

it('spans the ages from the mark below the youngest to the one above the oldest', () => {
  const scale = ageScale([2 * hourMs, 30 * hourMs]);
  expect(scale.ticks.map(({ label }) => label)).toEqual(['1 h', '1 day', '1 week']);
  expect([scale.at(hourMs), scale.at(7 * 24 * hourMs)]).toEqual([0, 1]);
});

it('has marks for sizes that grow 32 times', () => {
  expect(sizeScale([40 * 2 ** 20]).ticks.map(({ label }) => label)).toEqual([
    '1.0 KiB',
    '32.0 KiB',
    '1.0 MiB',
    '32.0 MiB',
  ]);
});

it('leaves out marks that would touch, and keeps the oldest', () => {
  const ticks = [0, 0.5, 0.9, 1].map(at => ({ at, label: String(at) }));
  expect(spacedTicks(ticks, 0.2).map(({ label }) => label)).toEqual(['0', '0.5', '1']);
  expect(spacedTicks([], 0.2)).toEqual([]);
});

test('what is older stands further right, what is larger higher, and nothing outside', () => {
  const amounts = fc.array(fc.double({ min: 1, max: 1e12, noNaN: true }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(amounts, values => {
      for (const scale of [ageScale(values), sizeScale(values)]) {
        const sorted = [...values].sort((a, b) => a - b).map(value => scale.at(value));
        expect(sorted).toEqual([...sorted].sort((a, b) => a - b));
        expect(sorted.every(at => at >= 0 && at <= 1)).toBe(true);
      }
    }),
  );
});
