import { expect, test } from 'vitest';
import { MemoryReturn } from '../../../src/lib/memory-return.ts';

test('a large buffer that is alone in its memory is empty afterwards, whatever comes with it twice', () => {
  const memory = new MemoryReturn();
  const [first, second] = [Buffer.alloc(16 * 1024, 1), Buffer.alloc(65_536, 2)];
  memory.giveBack([first, second, first]);
  expect([first.length, second.length]).toEqual([0, 0]);
});

test('bytes that share their memory, or are few, stay', () => {
  const memory = new MemoryReturn();
  const large = Buffer.alloc(65_536, 1);
  const [part, small] = [large.subarray(0, 32_768), Buffer.from('few')];
  memory.giveBack([part, small]);
  memory.giveBack([]);
  expect([large.equals(Buffer.alloc(65_536, 1)), part.length, small.toString()]).toEqual([
    true,
    32_768,
    'few',
  ]);
});
