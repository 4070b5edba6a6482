import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatQuoted, scanQuoted } from '../../../src/oci/quoted-string.ts';

const printable = fc.string({ unit: 'grapheme-ascii' });

describe('quoted string', () => {
  test('ends at its own closing quote', () => {
    expect(scanQuoted('x="a,\\"b\\\\";y', 2)).toEqual({ value: 'a,"b\\', end: 11 });
    expect(scanQuoted('""', 0)).toEqual({ value: '', end: 2 });
  });

  test.each(['', 'a', '"', '"a', '"a\\"', '"a\\'])('%j is none', text => {
    expect(scanQuoted(text, 0)).toBeUndefined();
  });

  test('what is formatted is read back as it was, wherever it stands', () => {
    fc.assert(
      fc.property(printable, printable, printable, (before, text, after) => {
        const quoted = formatQuoted(text);
        expect(scanQuoted(before + quoted + after, before.length)).toEqual({
          value: text,
          end: before.length + quoted.length,
        });
      }),
    );
  });

  test('what a header cannot carry is replaced', () => {
    expect(formatQuoted('a\r\nb\0c\u{1f433}ü')).toBe('"a  b c??"');
    fc.assert(fc.property(fc.string({ unit: 'binary' }), text => /^[ -~]*$/.test(formatQuoted(text))));
  });

  test('a bound holds, and no escape is cut in two', () => {
    expect(formatQuoted('a"b', 5)).toBe('"a\\""');
    expect(formatQuoted('a"b', 4)).toBe('"a"');
    fc.assert(
      fc.property(printable, fc.integer({ min: 2, max: 20 }), (text, bound) => {
        const quoted = formatQuoted(text, bound);
        expect(quoted.length).toBeLessThanOrEqual(bound);
        expect(scanQuoted(quoted, 0)?.end).toBe(quoted.length);
      }),
    );
  });
});
