/** Where mirrored tags pointed to: kept in the record, bounded, and there after a restart and after a rewrite of the file. */
import { expect, test } from 'vitest';
import type { Digest } from '../../../../src/oci/digest.ts';
import { parseTag } from '../../../../src/oci/name.ts';
import { TagHistory } from '../../../../src/store/records/tag-history.ts';
import { descriptor, digest, latest, RecordsRig } from '../records-rig.ts';

const dayMs = 24 * 3_600_000;

function moves(history: readonly { readonly at: number; readonly to?: Digest }[]): unknown[] {
  return history.map(({ at, to }) => [at, to]);
}

test('a record keeps each move of a tag and when the upstream had it no longer, also after a restart', async () => {
  const rig = await RecordsRig.create();
  let record = await rig.open();
  const set = (n: number, checkedAt: number) =>
    record.setTag(latest, { descriptor: descriptor(n), checkedAt });
  set(1, 10);
  set(1, 20);
  set(2, 30);
  record.removeTag(latest, 40);
  set(2, 50);
  record.removeTag(latest); // evicted by hand: the upstream still has it
  set(2, 60);
  const expected = [
    [50, digest(2)],
    [40, undefined],
    [30, digest(2)],
    [10, digest(1)],
  ];
  expect(moves(record.history(latest))).toEqual(expected);
  await record.flush();
  record = await rig.reopen();
  expect(moves(record.history(latest))).toEqual(expected);
  expect(record.tag(latest)?.checkedAt).toBe(60);
});

test('a rewrite of the file keeps the history', async () => {
  const rig = await RecordsRig.create();
  let record = await rig.open();
  for (let n = 0; n < 900; n += 1)
    record.setTag(latest, { descriptor: descriptor(n % 2), checkedAt: n * dayMs });
  await record.flush();
  const before = record.history(latest);
  expect(before).toHaveLength(401);
  for (let n = 0; n < 2000; n += 1) {
    record.link(digest(1));
    record.unlink(digest(1));
  }
  await record.flush();
  expect((await rig.lines()).length).toBeLessThan(4900);
  record = await rig.reopen();
  expect(record.history(latest)).toEqual(before);
});

test('100 moves of a tag are kept, and all of 400 days, and never too many', () => {
  const history = new TagHistory();
  for (let n = 0; n < 300; n += 1) history.seen(latest, digest(n % 2), n * 10 * dayMs);
  expect(history.of(latest)).toHaveLength(100);
  for (let n = 0; n < 20_000; n += 1) history.seen(latest, digest(n % 2), 3000 * dayMs + n);
  expect(history.of(latest)).toHaveLength(10_000);
});

test('a tag that is held no longer is forgotten 400 days after its last move', () => {
  const history = new TagHistory();
  const gone = parseTag('gone');
  history.seen(gone, digest(1), 0);
  history.seen(latest, digest(1), 400 * dayMs);
  history.forgetOld(() => false);
  expect(history.of(gone)).toHaveLength(1);
  history.seen(latest, digest(2), 401 * dayMs);
  history.forgetOld(tag => tag === gone);
  expect(history.of(gone)).toHaveLength(1);
  history.forgetOld(() => false);
  expect([history.of(gone).length, history.of(latest).length]).toEqual([0, 2]);
});
