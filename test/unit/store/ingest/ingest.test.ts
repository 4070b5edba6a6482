/** One growing blob over real files: what followers may see and when, and how it ends in each of the ways it can. */
import { readFile, rm, truncate } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { digestOf, finishDigest } from '../../../../src/oci/digest.ts';
import { verifyFirstBytes } from '../../../../src/store/ingest/follower.ts';
import { WindowBudget } from '../../../../src/store/ingest/window.ts';
import { MismatchError, NoRoomError } from '../../../../src/store/store-error.ts';
import { patternBlob } from '../../../support/content.ts';
import { bytesOf, drain, fill, IngestRig, large, mebibyte, small } from '../ingest-rig.ts';

test('a small blob is given out only after all of it is verified', async () => {
  const rig = await IngestRig.create();
  const ingest = await rig.open(small.digest);
  ingest.setSize(small.size);
  const follower = ingest.follow();
  const events: string[] = [];
  const reading = drain(follower).then(drained => {
    events.push('read');
    return drained;
  });
  await fill(ingest, small);
  expect(ingest.front).toBe(small.size);
  expect(ingest.readable).toBe(0);
  await ingest.journalAll(); // disk work in between: a follower that could read would have
  events.push('verify');
  expect(await ingest.verify()).toBe(true);
  expect((await reading).bytes).toEqual(bytesOf(small));
  expect(events).toEqual(['verify', 'read']);
});

test.each([
  ['known', large.size],
  ['hidden', undefined],
])(
  'with a size that is %s, the last byte of a large blob is held back until the digest is right',
  async (_size, size) => {
    const rig = await IngestRig.create();
    const ingest = await rig.open(large.digest);
    if (size !== undefined) ingest.setSize(size);
    const follower = ingest.follow();
    await fill(ingest, large);
    expect(ingest.readable).toBe(large.size - 1);
    const last = Buffer.alloc(10);
    expect(await follower.read(last, large.size - 2)).toBe(1);
    const events: string[] = [];
    const reading = follower.read(last, large.size - 1).then(count => events.push(`read ${count}`));
    await ingest.journalAll();
    events.push('verify');
    expect(await ingest.verify()).toBe(true);
    await reading;
    expect(events).toEqual(['verify', 'read 1']);
    expect((await drain(follower)).bytes.equals(bytesOf(large))).toBe(true);
  },
);

test('with a hidden size nothing is given out before it is clear that the blob is a large one', async () => {
  const rig = await IngestRig.create();
  const ingest = await rig.open(large.digest);
  await ingest.write(0, large.slice(0, verifyFirstBytes));
  expect(ingest.readable).toBe(0);
  await ingest.write(verifyFirstBytes, large.slice(verifyFirstBytes, verifyFirstBytes + 1));
  expect(ingest.readable).toBe(verifyFirstBytes);
});

test('with a known size the first bytes of a large blob go out as they come', async () => {
  const rig = await IngestRig.create();
  const ingest = await rig.open(large.digest);
  ingest.setSize(large.size);
  const follower = ingest.follow();
  const into = Buffer.alloc(100);
  const reading = follower.read(into, 0);
  await ingest.write(0, large.slice(0, 10));
  expect(await reading).toBe(10);
  expect(into.subarray(0, 10)).toEqual(large.slice(0, 10));
});

test('whatever the order of its pieces, the front is the contiguous part and the whole is right in the end', async () => {
  const cuts = fc.uniqueArray(fc.integer({ min: 1, max: large.size - 1 }), { minLength: 1, maxLength: 6 });
  const order = cuts.chain(list => {
    const edges = [0, ...list.sort((a, b) => a - b), large.size];
    const pieces = edges.slice(1).map((end, index) => [edges[index] ?? 0, end] as const);
    return fc.shuffledSubarray(pieces, { minLength: pieces.length });
  });
  await fc.assert(
    fc.asyncProperty(order, async pieces => {
      const rig = await IngestRig.create();
      const ingest = await rig.open(large.digest);
      ingest.setSize(large.size);
      const follower = ingest.follow();
      const reading = drain(follower);
      let held: (readonly [number, number])[] = [];
      for (const [start, end] of pieces) {
        expect(await ingest.verify()).toBe(false); // also waits until nothing is left to hash
        await ingest.write(start, large.slice(start, end));
        held = [...held, [start, end] as const];
      }
      expect(ingest.heldBytes).toBe(large.size);
      expect(await ingest.verify()).toBe(true);
      expect((await reading).bytes.equals(bytesOf(large))).toBe(true);
      await follower.close();
      await ingest.release();
    }),
    { numRuns: 10 },
  );
});

test('a piece that fills a gap moves the front over what was written beyond it, by reading it back', async () => {
  const rig = await IngestRig.create();
  const ingest = await rig.open(large.digest);
  ingest.setSize(large.size);
  await ingest.write(1_500_000, large.slice(1_500_000, 2_000_000));
  expect([ingest.front, ingest.heldBytes, ingest.readable]).toEqual([0, 500_000, 0]);
  await ingest.write(0, large.slice(0, 1_500_000));
  expect(ingest.gapFrom(0).start).toBe(2_000_000);
  expect(await ingest.verify()).toBe(false);
  expect([ingest.front, ingest.heldBytes, ingest.readable]).toEqual([2_000_000, 2_000_000, 2_000_000]);
});

test('a piece that overlaps what is there counts once', async () => {
  const rig = await IngestRig.create();
  const ingest = await rig.open(large.digest);
  await ingest.write(0, large.slice(0, 1000));
  await ingest.write(500, large.slice(500, large.size));
  expect([ingest.front, ingest.heldBytes]).toEqual([large.size, large.size]);
  expect(await ingest.verify()).toBe(true);
});

test('bytes of sha512 are verified by sha512', async () => {
  const content = patternBlob('sha512', 4000, 'sha512');
  const rig = await IngestRig.create();
  const ingest = await rig.open(content.digest);
  await fill(ingest, content);
  expect(await ingest.verify()).toBe(true);
  expect(ingest.size).toBe(4000);
});

test('the empty blob is verified and committed without a write', async () => {
  const digest = digestOf(Buffer.alloc(0));
  const rig = await IngestRig.create();
  const ingest = await rig.open(digest);
  ingest.setSize(0);
  const follower = ingest.follow();
  expect(await ingest.verify()).toBe(true);
  expect((await drain(follower)).bytes).toHaveLength(0);
  await ingest.commit();
  expect(await rig.store.sizeOf(digest)).toBe(0);
});

test('a commit gives the blob its place and leaves nothing in the ingest folder, while followers read on', async () => {
  const rig = await IngestRig.create();
  const ingest = await rig.open(large.digest);
  const follower = ingest.follow();
  await fill(ingest, large);
  await ingest.verify();
  await ingest.commit();
  expect(await rig.ingestFiles()).toEqual([]);
  expect((await readFile(rig.layout.blobPath(large.digest))).equals(bytesOf(large))).toBe(true);
  expect((await drain(follower)).bytes.equals(bytesOf(large))).toBe(true);
});

test('too few bytes and wrong bytes are not verified', async () => {
  const rig = await IngestRig.create();
  const ingest = await rig.open(small.digest);
  ingest.setSize(small.size);
  await ingest.write(0, small.slice(0, small.size - 1));
  expect(await ingest.verify()).toBe(false);
  await ingest.write(small.size - 1, Buffer.from([0xff ^ (small.slice(small.size - 1, small.size)[0] ?? 0)]));
  expect(await ingest.verify()).toBe(false);
  expect([ingest.verified, ingest.readable]).toEqual([false, 0]);
});

test('more bytes than the size are not verified, though the first ones are right', async () => {
  const rig = await IngestRig.create();
  const ingest = await rig.open(small.digest);
  ingest.setSize(small.size);
  await ingest.write(0, Buffer.concat([bytesOf(small), Buffer.from('more')]));
  expect(await ingest.verify()).toBe(false);
});

test('a restart cuts those who have been given wrong bytes, and the others get the right ones', async () => {
  const rig = await IngestRig.create();
  const ingest = await rig.open(large.digest);
  ingest.setSize(large.size);
  const [touched, waiting] = [ingest.follow(), ingest.follow()];
  const wrong = patternBlob('wrong', large.size);
  await fill(ingest, wrong);
  await touched.read(Buffer.alloc(10), 0);
  expect(ingest.hasUntouchedFollower).toBe(true);
  expect(await ingest.verify()).toBe(false);
  const left = drain(touched, 10);
  await ingest.restart();
  expect([ingest.front, ingest.heldBytes, ingest.size]).toEqual([0, 0, undefined]);
  expect(await rig.journal(large.digest)).toMatchObject({ written: [], synced: [] });
  expect((await readFile(rig.layout.partPath(large.digest))).length).toBe(0);
  ingest.setSize(large.size);
  const reading = drain(waiting);
  await fill(ingest, large);
  expect(await ingest.verify()).toBe(true);
  expect((await left).error).toBeInstanceOf(MismatchError);
  expect((await reading).bytes.equals(bytesOf(large))).toBe(true);
  await expect(touched.read(Buffer.alloc(10), 10)).rejects.toBeInstanceOf(MismatchError);
});

test('a write that is at the disk while all starts over does not count', async () => {
  const rig = await IngestRig.create();
  const ingest = await rig.open(large.digest);
  const writing = ingest.write(0, patternBlob('wrong', large.size).slice(0, large.size));
  const restarting = ingest.restart();
  await Promise.all([writing, restarting]);
  expect([ingest.front, ingest.heldBytes]).toEqual([0, 0]);
  await fill(ingest, large);
  expect(await ingest.verify()).toBe(true);
});

test('a partial that is just being read back when all starts over leaves nothing in the hash', async () => {
  const rig = await IngestRig.create();
  const before = await rig.open(large.digest);
  await fill(before, patternBlob('wrong', large.size));
  await before.journalAll();
  const ingest = await rig.open(large.digest);
  await ingest.restart();
  await fill(ingest, large);
  expect(await ingest.verify()).toBe(true);
});

test('bytes that come again while they are just being read back are hashed once', async () => {
  const rig = await IngestRig.create();
  const before = await rig.open(large.digest);
  await fill(before, large, 0, 2_000_000);
  await before.journalAll();
  const ingest = await rig.open(large.digest);
  await ingest.write(0, bytesOf(large));
  expect(await ingest.verify()).toBe(true);
});

test('a follower that has not given out a byte is known through joining, reading and leaving', async () => {
  const rig = await IngestRig.create();
  const ingest = await rig.open(large.digest);
  ingest.setSize(large.size);
  await fill(ingest, large);
  const seen = [ingest.hasUntouchedFollower];
  const [first, second] = [ingest.follow(), ingest.follow()];
  seen.push(ingest.hasUntouchedFollower);
  await first.read(Buffer.alloc(10), 0);
  await first.read(Buffer.alloc(10), 10);
  seen.push(ingest.hasUntouchedFollower);
  await second.close();
  seen.push(ingest.hasUntouchedFollower);
  await first.close();
  const third = ingest.follow();
  seen.push(ingest.hasUntouchedFollower);
  await third.close();
  seen.push(ingest.hasUntouchedFollower);
  expect(seen).toEqual([false, true, true, false, true, false]);
  expect(rig.counts).toEqual([1, 2, 1, 0, 1, 0]);
});

test('a follower that leaves while it reads is not taken for one that has seen bytes', async () => {
  const rig = await IngestRig.create();
  rig.windows = new WindowBudget({ bytesOfOne: 0, bytesOfAll: 0 }); // reads of the disk
  const ingest = await rig.open(large.digest);
  ingest.setSize(large.size);
  await fill(ingest, large);
  const leaving = ingest.follow();
  const reading = leaving.read(Buffer.alloc(10), 0);
  await leaving.close();
  await expect(reading).rejects.toThrow('closed');
  ingest.follow();
  expect(ingest.hasUntouchedFollower).toBe(true);
});

test('without room followers drain what is there, then learn where and with which hash to go on', async () => {
  const rig = await IngestRig.create();
  const ingest = await rig.open(large.digest);
  ingest.setSize(large.size);
  const follower = ingest.follow();
  await ingest.write(0, large.slice(0, 1_500_000));
  await ingest.overflow();
  expect(await rig.ingestFiles()).toEqual([]);
  const { bytes, error } = await drain(follower);
  expect(bytes.equals(large.slice(0, 1_500_000))).toBe(true);
  expect(error).toBeInstanceOf(NoRoomError);
  if (!(error instanceof NoRoomError)) return;
  expect([error.front, error.size]).toEqual([1_500_000, large.size]);
  for (let reader = 0; reader < 2; reader += 1) {
    const hash = error.copyHash().update(large.slice(1_500_000, large.size));
    expect(finishDigest('sha256', hash)).toBe(large.digest);
  }
});

test('a partial that is suspended and opened again in the same boot goes on where it was, followers first', async () => {
  const rig = await IngestRig.create();
  const before = await rig.open(large.digest);
  before.setSize(large.size);
  await fill(before, large, 0, 1_500_000);
  const cut = drain(before.follow());
  await before.suspend(new Error('the upstream went away'));
  expect(await cut).toMatchObject({ error: { message: 'the upstream went away' } });
  while (before.isOpen) await before.release();

  const ingest = await rig.open(large.digest);
  expect([ingest.size, ingest.heldBytes, ingest.gapFrom(0).start]).toEqual([
    large.size,
    1_500_000,
    1_500_000,
  ]);
  const follower = ingest.follow();
  const head = Buffer.alloc(1000);
  expect(await follower.read(head, 0)).toBe(1000); // nothing came from anywhere yet
  expect(head).toEqual(large.slice(0, 1000));
  const reading = drain(follower);
  await fill(ingest, large, 1_500_000);
  expect(await ingest.verify()).toBe(true);
  expect((await reading).bytes.equals(bytesOf(large))).toBe(true);
});

test('a suspended partial is on the disk, so another boot of the machine believes it too', async () => {
  const rig = await IngestRig.create();
  const before = await rig.open(large.digest);
  await fill(before, large, 0, 1_500_000);
  await before.suspend(new Error('the upstream went away'));
  await before.release();
  const ingest = await rig.open(large.digest, 'boot-2');
  expect(ingest.gapFrom(0).start).toBe(1_500_000);
});

test('a full partial is verified without a byte from anywhere', async () => {
  const rig = await IngestRig.create();
  const before = await rig.open(large.digest);
  before.setSize(large.size);
  await fill(before, large);
  await before.journalAll();
  const ingest = await rig.open(large.digest); // the process died here
  expect(ingest.gapFrom(0).start).toBe(large.size);
  expect(await ingest.verify()).toBe(true);
});

test('what is discarded is gone, and its followers learn why', async () => {
  const rig = await IngestRig.create();
  const ingest = await rig.open(large.digest);
  ingest.setSize(large.size);
  const reading = drain(ingest.follow());
  await ingest.write(0, large.slice(0, 1000));
  await ingest.discard(new MismatchError(large.digest));
  expect(await reading).toMatchObject({ bytes: large.slice(0, 1000), error: { name: 'MismatchError' } });
  expect(await rig.ingestFiles()).toEqual([]);
});

test('the descriptor stays open for the last of many followers and is closed once', async () => {
  const rig = await IngestRig.create();
  const ingest = await rig.open(large.digest);
  const followers = Array.from({ length: 20 }, () => ingest.follow());
  await fill(ingest, large);
  await ingest.verify();
  await ingest.commit();
  await ingest.release();
  const [last, ...others] = followers;
  await Promise.all(others.map(follower => follower.close()));
  await Promise.all(others.map(follower => follower.close())); // closing twice gives back one share only
  expect([ingest.isOpen, ingest.followers, await rig.openFiles()]).toEqual([true, 1, 1]);
  if (last === undefined) return;
  expect((await drain(last)).bytes.equals(bytesOf(large))).toBe(true);
  await last.close();
  expect([ingest.isOpen, ingest.followers, await rig.openFiles()]).toEqual([false, 0, 0]);
});

test('the descriptor outlives the opener for a read that runs, and closes with it', async () => {
  const rig = await IngestRig.create();
  rig.windows = new WindowBudget({ bytesOfOne: 0, bytesOfAll: 0 }); // reads of the disk
  const ingest = await rig.open(large.digest);
  ingest.setSize(large.size);
  await fill(ingest, large);
  const follower = ingest.follow();
  const reading = follower.read(Buffer.alloc(64 * 1024), 0);
  await follower.close();
  await ingest.release();
  await expect(reading).rejects.toThrow('closed');
  while (ingest.isOpen) await turn();
  expect(await rig.openFiles()).toBe(0);
});

test('releasing a partial that is just being read back waits for that, and reports no error', async () => {
  const rig = await IngestRig.create();
  const before = await rig.open(large.digest);
  await fill(before, large);
  await before.journalAll();
  const ingest = await rig.open(large.digest);
  await ingest.release();
  expect(rig.recorder.events).toEqual([]);
});

test('a store that cannot be written is a store error of opening', async () => {
  const rig = await IngestRig.create();
  const digest = digestOf(Buffer.from('x'));
  await rm(rig.layout.ingestFolder, { recursive: true });
  await expect(rig.open(digest)).rejects.toMatchObject({ name: 'StoreError', operation: 'open' });
  expect(rig.recorder.events).toEqual(['storeError open']);
});

test('what is written is synced every 32 MiB: from then on the journal vouches for it after a power cut', async () => {
  const content = patternBlob('long', 35 * mebibyte);
  const rig = await IngestRig.create();
  const ingest = await rig.open(content.digest);
  ingest.setSize(content.size);
  await fill(ingest, content, 0, 31 * mebibyte);
  await ingest.journalAll();
  expect(await rig.journal(content.digest)).toMatchObject({ written: [[0, 31 * mebibyte]], synced: [] });
  await fill(ingest, content, 31 * mebibyte, 33 * mebibyte);
  await ingest.journalAll();
  const { synced } = await rig.journal(content.digest);
  expect([[[0, 32 * mebibyte]], [[0, 33 * mebibyte]]]).toContainEqual(synced);
  await fill(ingest, content, 33 * mebibyte, 34 * mebibyte);
  await ingest.journalAll();
  expect(await rig.journal(content.digest)).toMatchObject({ written: [[0, 34 * mebibyte]], synced });
  await fill(ingest, content, 34 * mebibyte);
  await ingest.suspend(new Error('enough'));
  expect((await rig.journal(content.digest))['synced']).toEqual([[0, content.size]]);
});

test('followers near the front are given the bytes from memory, and the file is not read', async () => {
  const rig = await IngestRig.create();
  const ingest = await rig.open(large.digest);
  ingest.setSize(large.size);
  const followers = [ingest.follow(), ingest.follow()];
  await fill(ingest, large);
  await truncate(rig.layout.partPath(large.digest), 0); // a read of the file would end here
  expect(await ingest.verify()).toBe(true);
  for (const follower of followers) expect((await drain(follower)).bytes.equals(bytesOf(large))).toBe(true);
});

test.each([
  ['of its own', { bytesOfOne: mebibyte, bytesOfAll: 64 * mebibyte }],
  ['of all', { bytesOfOne: 8 * mebibyte, bytesOfAll: mebibyte }],
])('a window keeps no more than the limit %s, and a late follower reads the file', async (_what, limits) => {
  const rig = await IngestRig.create();
  rig.windows = new WindowBudget(limits);
  const ingest = await rig.open(large.digest);
  ingest.setSize(large.size);
  await fill(ingest, large);
  expect([ingest.inMemory(0), ingest.inMemory(large.size - 1)?.length]).toEqual([undefined, 1]);
  expect(await ingest.verify()).toBe(true);
  expect((await drain(ingest.follow())).bytes.equals(bytesOf(large))).toBe(true);
});

test('bytes that came early and are not on disk yet are no hole for those who read the file before them', async () => {
  const rig = await IngestRig.create();
  rig.windows = new WindowBudget({ bytesOfOne: 0, bytesOfAll: 0 });
  const ingest = await rig.open(large.digest);
  ingest.setSize(large.size);
  await fill(ingest, large, 0, mebibyte);
  const follower = ingest.follow();
  await ingest.write(2 * mebibyte, large.slice(2 * mebibyte, large.size));
  await ingest.write(mebibyte, large.slice(mebibyte, 2 * mebibyte));
  expect(await ingest.verify()).toBe(true);
  expect((await drain(follower)).bytes.equals(bytesOf(large))).toBe(true);
});
