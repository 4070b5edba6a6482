/** The line of a list's file: what is read is what was written, damage is seen, and megabytes hold up nothing for long. */
import { afterEach, expect, test, vi } from 'vitest';
import { formatChecksummedLine } from '../../../../src/store/disk-files.ts';
import { formatListLine, parseListLine } from '../../../../src/store/records/list-line.ts';

const maxLength = 4 * 1024 * 1024;

afterEach(() => {
  vi.restoreAllMocks();
});

test.each([
  ['empty', []],
  ['one piece', ['latest\n3.20']],
  ['quotes, controls, line ends', ['"a"\\', '\n\u0001\t', '\u2028é']],
  ['a character cut by pieces and by blocks', ['\ud83d', '\ude00', `${'x'.repeat(65_535)}😀`]],
  ['several blocks', ['a'.repeat(200_000), '\n', 'b'.repeat(70_000)]],
] as const)('%s: the line of a record, and the same text back', async (_what, pieces) => {
  const text = pieces.join('');
  const formatted = await formatListLine(17, pieces, maxLength);
  expect(await parseListLine(formatted?.line ?? Buffer.alloc(0))).toEqual({ checkedAt: 17, text });
  const older = Buffer.from(formatChecksummedLine({ checkedAt: 17, text }));
  expect(await parseListLine(older)).toEqual({ checkedAt: 17, text });
});

test('the sum is that of the text, however it came in pieces, whenever it was checked', async () => {
  const sums = [
    await formatListLine(1, ['ab', 'c'], maxLength),
    await formatListLine(2, ['a', 'bc'], maxLength),
    await formatListLine(1, ['abd'], maxLength),
  ].map(line => line?.sum);
  expect([sums[0] === sums[1], sums[0] === sums[2]]).toEqual([true, false]);
});

test('a damaged, torn, empty or foreign line is none', async () => {
  const { line = Buffer.alloc(0) } = (await formatListLine(1, ['latest'], maxLength)) ?? {};
  const flipped = Buffer.from(line);
  flipped[20] = (flipped[20] ?? 0) ^ 1;
  const foreign = Buffer.from(formatChecksummedLine({ checkedAt: 'x', text: 1 }));
  for (const bad of [flipped, line.subarray(0, -4), Buffer.alloc(0), Buffer.from('x'), foreign])
    expect(await parseListLine(bad)).toBeUndefined();
});

test('a text that is too long is given up as soon as that is known', async () => {
  let asked = 0;
  const pieces = (function* () {
    for (; asked < 1000; asked += 1) yield 'x'.repeat(10_000);
  })();
  expect(await formatListLine(1, pieces, 50_000)).toBeUndefined();
  expect(asked).toBe(5);
});

test('4 MiB are written and read in slices: other work runs in between', async () => {
  let nowMs = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => {
    nowMs += 1; // each block takes a millisecond
    return nowMs;
  });
  let turns = 0;
  const tick = () => {
    turns += 1;
    if (turns < 10_000) setImmediate(tick);
  };
  setImmediate(tick);
  const pieces = Array.from({ length: 64 }, () => 'y'.repeat(64 * 1024));
  const formatted = await formatListLine(1, pieces, maxLength);
  const afterWriting = turns;
  expect(afterWriting).toBeGreaterThanOrEqual(5); // 64 blocks, ten to a slice
  await parseListLine(formatted?.line ?? Buffer.alloc(0));
  expect(turns - afterWriting).toBeGreaterThanOrEqual(5);
  turns = 10_000;
});
