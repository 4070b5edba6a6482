import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatWarning } from '../../../src/oci/warning.ts';

describe('Warning', () => {
  test('has the form of the specification, with quotes escaped', () => {
    expect(formatWarning('held since "noon"')).toBe('299 - "held since \\"noon\\""');
  });

  test('is always one header line of at most 4096 bytes', () => {
    expect(formatWarning('"'.repeat(10_000))).toHaveLength(4096);
    expect(formatWarning('x'.repeat(10_000))).toHaveLength(4096);
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), text => /^299 - "[ -~]*"$/.test(formatWarning(text))),
    );
  });
});
