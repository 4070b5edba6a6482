import { expect, test } from 'vitest';
import { formatAgo, formatBytes, formatShare, formatSpan, formatTable } from '../../../src/lib/format.ts';

test('columns are as wide as their widest cell, right-aligned where asked, without blanks at the end', () => {
  expect(
    formatTable(
      [
        ['NAME', 'SIZE', ''],
        ['a', '10 B', 'pinned'],
        ['longer', '1 B', ''],
      ],
      [1],
    ),
  ).toBe('NAME    SIZE\na       10 B  pinned\nlonger   1 B\n');
  expect(formatTable([])).toBe('');
});

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [150 * 1024, '150 KiB'],
  [3_000_000, '2.9 MiB'],
  [50 * 1024 ** 3, '50.0 GiB'],
  [2 ** 70, '1048576 PiB'],
])('%d bytes: %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test('spans and ages are in their largest unit, and never negative', () => {
  const spans = [0, -5, 59_999, 60_000, 3_600_000, 86_400_000 * 3.5];
  expect(spans.map(formatSpan)).toEqual(['0 s', '0 s', '59 s', '1 min', '1 h', '3 d']);
  expect(formatAgo('1970-01-01T00:00:00.000Z', 7_200_000)).toBe('2 h ago');
  expect(formatAgo(null, 0)).toBe('-');
});

test('shares are in percent', () => {
  expect([0.375, 1, 0, null].map(formatShare)).toEqual(['37.5 %', '100.0 %', '0.0 %', '-']);
});
