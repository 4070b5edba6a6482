import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { parseDigest } from '../../../../src/oci/digest.ts';
import { DigestTable } from '../../../../src/overview/held/digest-table.ts';

function digest(at: number) {
  return parseDigest(`sha256:${createHash('sha256').update(`${at}`).digest('hex')}`);
}

test('counts and labels are those of a Map, over many growths', () => {
  const table = new DigestTable();
  const model = new Map<string, { count: number; label: number }>();
  for (let at = 0; at < 20_000; at += 1) {
    const key = digest(at % 7000);
    const known = model.get(key);
    model.set(key, { count: (known?.count ?? 0) + 1, label: known?.label ?? at });
    table.add(key, at, false);
  }
  expect(table.size).toBe(7000);
  for (const [key, use] of model) expect(table.get(parseDigest(key))).toEqual(use);
  expect(table.get(digest(7001))).toBeUndefined();
});

test('a preferred label goes before the first one, and stays', () => {
  const table = new DigestTable();
  table.add(digest(1), 5, false);
  table.add(digest(1), 6, true);
  table.add(digest(1), 7, true);
  table.add(digest(1), 8, false);
  expect(table.get(digest(1))).toEqual({ count: 4, label: 6 });
});

test('a count that is full stays full', () => {
  const table = new DigestTable();
  for (let at = 0; at < 70_000; at += 1) table.add(digest(1), 0, false);
  expect(table.get(digest(1))?.count).toBe(65_535);
});
