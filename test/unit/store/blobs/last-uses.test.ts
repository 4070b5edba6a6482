import { setImmediate as turn } from 'node:timers/promises';
import { expect, onTestFinished, test, vi } from 'vitest';
import { type Digest, digestOf } from '../../../../src/oci/digest.ts';
import { LastUseWriter } from '../../../../src/store/blobs/held-blob.ts';
import { deferred } from '../../../support/gates.ts';
import { Recorder } from '../../../support/recorder.ts';

const digests = Array.from({ length: 10 }, (_, n) => digestOf(Buffer.from(String(n))));
const a = digestOf(Buffer.from('0'));
const b = digestOf(Buffer.from('1'));

/** A store that keeps what it is told, held up or failing as the test says; a clock of one ms per touch. */
function createRig(work: (digest: Digest) => Promise<void> = () => Promise.resolve()) {
  const recorder = new Recorder();
  const rig = {
    written: [] as string[],
    inLru: [] as number[],
    atOnce: 0,
    mostAtOnce: 0,
    nowMs: 0,
    recorder,
  };
  const writer = new LastUseWriter({
    store: {
      setLastUse: async (digest, ms) => {
        rig.atOnce += 1;
        rig.mostAtOnce = Math.max(rig.mostAtOnce, rig.atOnce);
        await turn();
        rig.atOnce -= 1;
        await work(digest);
        rig.written.push(`${digests.indexOf(digest)} ${ms}`);
      },
      setVerified: async (digest, ms) => {
        await work(digest);
        rig.written.push(`${digests.indexOf(digest)} verified ${ms}`);
      },
    },
    lru: { touch: digest => rig.inLru.push(digests.indexOf(digest)) },
    logger: recorder.logger,
    now: () => {
      rig.nowMs += 1;
      return rig.nowMs;
    },
  });
  onTestFinished(() => writer.close());
  return { rig, writer };
}

test('a touch writes nothing; a flush writes the last use of each blob once', async () => {
  const { rig, writer } = createRig();
  for (const digest of [a, b, a, a]) writer.touch(digest);
  await turn();
  expect(rig.written).toEqual([]);
  await writer.flush();
  expect(rig.written.sort()).toEqual(['0 4', '1 2']);
  await writer.flush();
  expect(rig.written).toHaveLength(2);
});

test('many blobs are written a few at a time', async () => {
  const { rig, writer } = createRig();
  for (const digest of digests) writer.touch(digest);
  await writer.flush();
  expect([rig.written.length, rig.mostAtOnce]).toEqual([10, 4]);
});

test('touches during a flush are in the next one; flushes never overlap, and each resolves when its own are written', async () => {
  const hold = deferred();
  const { rig, writer } = createRig(digest => (digest === a ? hold.promise : Promise.resolve()));
  writer.touch(a);
  const first = writer.flush();
  writer.touch(b);
  const second = writer.flush();
  for (let n = 0; n < 5; n += 1) await turn();
  expect(rig.written).toEqual([]);
  hold.resolve();
  await first;
  await second;
  expect(rig.written).toEqual(['0 1', '1 2']);
});

test('what could not be written is told in one line, and neither thrown nor in the way of the others', async () => {
  const { rig, writer } = createRig(digest =>
    digest === a || digest === b ? Promise.reject(new Error('EIO')) : Promise.resolve(),
  );
  for (const digest of digests) writer.touch(digest);
  await writer.flush();
  expect(rig.written).toHaveLength(8);
  expect(rig.recorder.logged).toEqual(['warn last uses could not be written {"failed":2,"of":10}']);
  writer.touch(digests[5] ?? a);
  await writer.flush();
  expect(rig.written).toHaveLength(9);
});

test('verifications are written with the uses, after them: both change times of the same file', async () => {
  const { rig, writer } = createRig();
  writer.verified(a);
  writer.touch(a);
  await writer.flush();
  expect(rig.written).toEqual(['0 2', '0 verified 1']);
  writer.verified(b);
  await writer.close();
  expect(rig.written).toEqual(['0 2', '0 verified 1', '1 verified 3']);
});

test('it writes every half minute by itself, and at the end what is left', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const { rig, writer } = createRig();
  writer.touch(a);
  vi.advanceTimersByTime(29_999);
  for (let n = 0; n < 5; n += 1) await turn();
  expect(rig.written).toEqual([]);
  vi.advanceTimersByTime(1);
  for (let n = 0; n < 5; n += 1) await turn();
  expect(rig.written).toEqual(['0 1']);
  writer.touch(b);
  await Promise.all([writer.close(), writer.close()]);
  expect(rig.written).toEqual(['0 1', '1 2']);
  expect(vi.getTimerCount()).toBe(0);
});
