/** What an earlier process left: the journal decides what of the file counts, and the digest has the last word. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import type { Segment } from '../../../../src/store/ingest/journal.ts';
import { fill, IngestRig, large } from '../ingest-rig.ts';

/** A partial with these bytes on disk, and a journal with this to say. */
async function rigWithPartial(
  file: Buffer,
  journal: Record<string, unknown> | string | undefined,
): Promise<IngestRig> {
  const rig = await IngestRig.create();
  await writeFile(rig.layout.partPath(large.digest), file);
  const text =
    typeof journal === 'string'
      ? journal
      : JSON.stringify({ version: 1, bootId: 'boot-1', digest: large.digest, source: 'x', ...journal });
  if (journal !== undefined) await writeFile(rig.layout.journalPath(large.digest), text);
  return rig;
}

const written: Segment[] = [[0, 2_000_000]];
const synced: Segment[] = [[0, 1_000_000]];

test.each([
  ['the same boot: what was written', 'boot-1', 2_000_000],
  ['another boot: what was synced', 'boot-2', 1_000_000],
])('after %s counts, and the file is cut to it', async (_what, bootId, held) => {
  const rig = await rigWithPartial(large.slice(0, large.size), { size: large.size, written, synced });
  const ingest = await rig.open(large.digest, bootId);
  expect([ingest.heldBytes, ingest.gapFrom(0).start]).toEqual([held, held]);
  expect((await stat(rig.layout.partPath(large.digest))).size).toBe(held);
  await fill(ingest, large, held);
  expect(await ingest.verify()).toBe(true);
});

test('segments beyond a gap count, and only the gap is asked for', async () => {
  const file = large.slice(0, large.size);
  file.fill(0, 500_000, 900_000);
  const rig = await rigWithPartial(file, {
    size: large.size,
    written: [
      [0, 500_000],
      [900_000, large.size],
    ],
    synced: [],
  });
  const ingest = await rig.open(large.digest);
  expect(ingest.gapFrom(0).start).toBe(500_000);
  await ingest.write(500_000, large.slice(500_000, 900_000));
  expect(ingest.gapFrom(0).start).toBe(large.size);
  expect(await ingest.verify()).toBe(true);
});

test('a journal that vouches for more than the file has is believed up to the end of the file', async () => {
  const rig = await rigWithPartial(large.slice(0, 1_200_000), {
    written: [
      [0, 1_100_000],
      [1_150_000, 2_000_000],
    ],
    synced,
  });
  const ingest = await rig.open(large.digest);
  expect([ingest.heldBytes, ingest.gapFrom(0).start]).toEqual([1_150_000, 1_100_000]);
  await fill(ingest, large, 1_100_000);
  expect(await ingest.verify()).toBe(true);
});

test.each([
  ['no journal', undefined],
  ['a torn journal', '{"version":1,"bootId":"boot-1","dig'],
  ['an empty journal', ''],
  ['a journal of another blob', { digest: `sha256:${'0'.repeat(64)}`, written, synced }],
  ['a journal of a version to come', { version: 2, written, synced }],
])(
  'with %s the partial counts as empty, and a new journal is there before the first byte',
  async (_what, journal) => {
    const rig = await rigWithPartial(large.slice(0, 2_000_000), journal);
    const ingest = await rig.open(large.digest);
    expect([ingest.heldBytes, ingest.size]).toEqual([0, undefined]);
    expect((await readFile(rig.layout.partPath(large.digest))).length).toBe(0);
    expect(await rig.journal(large.digest)).toMatchObject({ digest: large.digest, written: [], synced: [] });
  },
);

test('a partial with wrong bytes that its journal vouches for is found out by the digest', async () => {
  const file = large.slice(0, large.size);
  file[123_456] = (file[123_456] ?? 0) ^ 1;
  const rig = await rigWithPartial(file, { size: large.size, written: [[0, large.size]], synced: [] });
  const ingest = await rig.open(large.digest);
  expect(await ingest.verify()).toBe(false);
  await ingest.restart();
  await fill(ingest, large);
  expect(await ingest.verify()).toBe(true);
});

test('what was synced in an earlier boot stays believed in a later one, however little came in between', async () => {
  const rig = await rigWithPartial(large.slice(0, 2_000_000), { size: large.size, written, synced });
  const second = await rig.open(large.digest, 'boot-1');
  await second.journalAll(); // the process died here, and then the machine
  const third = await rig.open(large.digest, 'boot-2');
  expect(third.heldBytes).toBe(1_000_000);
});
