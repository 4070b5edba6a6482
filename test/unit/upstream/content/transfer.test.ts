/** Guards src/upstream/content/transfer.ts: how the body of a blob is cut into chunks. */
import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { streamBody } from '../../../../src/upstream/content/transfer.ts';

const chunkBytes = 64 * 1024;
const turns = 10;
const chunksOfTurn = 8;

/** As a socket gives them: several chunks in one turn of the event loop, with time for other work between them. */
function readableOf(size: number): Readable {
  const body = new Readable({ highWaterMark: chunksOfTurn * chunkBytes, read: () => undefined });
  const fill = async () => {
    for (let turn = 0; turn < turns; turn += 1) {
      await nextTurn();
      for (let chunk = 0; chunk < chunksOfTurn; chunk += 1) {
        body.push(Buffer.alloc(size, turn));
        for (let tick = 0; tick < 20; tick += 1)
          await new Promise<void>(resolve => process.nextTick(resolve));
      }
    }
    body.push(null);
  };
  void fill();
  return body;
}

async function chunksOf(size: number): Promise<number[]> {
  const sum = turns * chunksOfTurn * size;
  const extent = { start: 0, end: sum, size: sum };
  const options = { extent, onBytes: () => undefined, explain: (error: unknown) => error };
  const lengths: number[] = [];
  for await (const { length } of streamBody(readableOf(size), options)) lengths.push(length);
  expect(lengths.reduce((all, length) => all + length, 0)).toBe(sum);
  return lengths;
}

test('what a fast upstream sends within a turn comes as one chunk', async () => {
  // the first chunk is given at once, then those of a turn together
  expect((await chunksOf(chunkBytes)).length).toBeLessThanOrEqual(turns + 2);
});

test('small chunks are given as they come', async () => {
  expect(await chunksOf(1000)).toEqual(Array.from({ length: turns * chunksOfTurn }, () => 1000));
});
