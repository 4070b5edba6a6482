import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesBlob, patternBlob } from '../../support/content.ts';

const size = 100_000;
const whole = patternBlob('a', size).slice(0, size);
const offset = fc.integer({ min: 0, max: size });

describe('a pattern blob', () => {
  test('gives the same bytes for a slice as for the whole, wherever it begins and ends', () => {
    fc.assert(
      fc.property(offset, offset, (one, other) => {
        const [start, end] = [Math.min(one, other), Math.max(one, other)];
        expect(patternBlob('a', size).slice(start, end).equals(whole.subarray(start, end))).toBe(true);
      }),
    );
  });

  test('looks nowhere like it does elsewhere', () => {
    const seen = new Set<string>();
    for (let at = 0; at + 16 <= size; at += 16) seen.add(whole.toString('hex', at, at + 16));
    expect(seen.size).toBe(Math.floor(size / 16));
  });

  test('differs by seed', () => {
    expect(patternBlob('b', size).slice(0, 64).equals(whole.subarray(0, 64))).toBe(false);
  });

  test('has the digest of all its bytes, also beyond one step of hashing', () => {
    const blob = patternBlob('a', 3_000_001);
    const expected = createHash('sha256').update(blob.slice(0, blob.size)).digest('hex');
    expect(blob.digest).toBe(`sha256:${expected}`);
    expect(patternBlob('a', 10, 'sha512').digest).toMatch(/^sha512:[0-9a-f]{128}$/);
  });

  test('gives far offsets at once', () => {
    const far = 5 * 1024 ** 4 + 7;
    const blob = patternBlob('a', far + 100);
    expect(blob.slice(far, far + 100).equals(blob.slice(far - 50, far + 100).subarray(50))).toBe(true);
  });
});

test('changing a slice of a bytes blob leaves the blob as it was', () => {
  const blob = bytesBlob('abc');
  blob.slice(0, 3).fill(0);
  expect(blob.slice(0, 3).toString()).toBe('abc');
});
