/** One reader of a growing file, driven through the narrow view that it has of its ingest. */
import { type FileHandle, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type Followed, Follower } from '../../../../src/store/ingest/follower.ts';
import { MismatchError } from '../../../../src/store/store-error.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { isPending } from '../../cached/rig.ts';
import { bytesOf, small } from '../ingest-rig.ts';

/** What a follower sees, set by the test; `ring` wakes those who wait. */
class Growing implements Followed {
  readonly digest = small.digest;
  generation = 0;
  readable = 0;
  size: number | undefined;
  verified = false;
  failure: Error | undefined;
  waits = 0;
  followers = 1;
  memory: { readonly at: number; readonly bytes: Buffer } | undefined;
  readonly #wakes = new Set<() => void>();

  inMemory(at: number): Buffer | undefined {
    return this.memory?.at === at ? this.memory.bytes : undefined;
  }

  writtenFrom(): number {
    return this.readable;
  }

  readableFrom(): number {
    return this.readable;
  }

  get change(): Promise<void> {
    this.waits += 1;
    return new Promise<void>(resolve => {
      this.#wakes.add(resolve);
    });
  }

  wake(): void {
    for (const wake of this.#wakes) wake();
  }

  ring(change: Partial<Pick<Growing, 'generation' | 'readable' | 'verified' | 'failure'>>): void {
    Object.assign(this, change);
    this.wake();
  }
}

async function follow(): Promise<{
  growing: Growing;
  follower: Follower;
  events: string[];
  file: FileHandle;
}> {
  const path = join(await tempDir(), 'file');
  await writeFile(path, bytesOf(small));
  const file = await open(path);
  onTestFinished(() => file.close());
  const growing = new Growing();
  const events: string[] = [];
  const follower = new Follower(growing, file, {
    touched: () => events.push('touched'),
    left: async touched => {
      events.push(`left ${touched}`);
    },
  });
  return { growing, follower, events, file };
}

test('it gives out what is readable, at once and never more, into as much room as there is', async () => {
  const { growing, follower } = await follow();
  growing.readable = 100;
  const into = Buffer.alloc(64);
  expect(await follower.read(into, 0)).toBe(64);
  expect(into).toEqual(small.slice(0, 64));
  expect(await follower.read(into, 64)).toBe(36);
  expect(into.subarray(0, 36)).toEqual(small.slice(64, 100));
  expect(growing.waits).toBe(0);
});

test('it waits through changes that bring nothing for it', async () => {
  const { growing, follower } = await follow();
  const reading = follower.read(Buffer.alloc(10), 500);
  growing.ring({ readable: 100 });
  growing.ring({ readable: 500 });
  growing.ring({ readable: 501 });
  expect(await reading).toBe(1);
});

test('a reader at its own offset skips what is before it', async () => {
  const { growing, follower } = await follow();
  growing.readable = small.size - 1;
  const into = Buffer.alloc(10);
  await follower.read(into, 2000);
  expect(into).toEqual(small.slice(2000, 2010));
});

test('the end comes with the verification, not with the last readable byte', async () => {
  const { growing, follower } = await follow();
  growing.readable = small.size;
  const reading = follower.read(Buffer.alloc(10), small.size);
  growing.ring({ readable: small.size });
  expect(growing.waits).toBe(1);
  growing.ring({ verified: true });
  expect(await reading).toBe(0);
});

test('after a failure it gives out what is there, then fails with the same error', async () => {
  const { growing, follower } = await follow();
  growing.ring({ readable: 100, failure: new Error('given up') });
  expect(await follower.read(Buffer.alloc(1000), 0)).toBe(100);
  await expect(follower.read(Buffer.alloc(10), 100)).rejects.toThrow('given up');
});

test('a waiting read learns of a failure', async () => {
  const { growing, follower } = await follow();
  const reading = follower.read(Buffer.alloc(10), 0);
  growing.ring({ failure: new Error('given up') });
  await expect(reading).rejects.toThrow('given up');
});

test('after a restart one that has given bytes out must stop, whatever comes', async () => {
  const { growing, follower, events } = await follow();
  growing.readable = 100;
  await follower.read(Buffer.alloc(10), 0);
  const reading = follower.read(Buffer.alloc(10), 100);
  growing.ring({ generation: 1, readable: 1000, verified: true });
  await expect(reading).rejects.toBeInstanceOf(MismatchError);
  await follower.close();
  expect(events).toEqual(['touched', 'left true']);
});

test('after a restart one that has given nothing out goes on waiting, and is given the new bytes', async () => {
  const { growing, follower } = await follow();
  const reading = follower.read(Buffer.alloc(10), 0);
  growing.ring({ generation: 1 });
  growing.ring({ generation: 2, readable: 10 });
  expect(await reading).toBe(10);
});

test('bytes that were read while a restart happened are not given out', async () => {
  const { growing, follower, events } = await follow();
  growing.readable = 100;
  const into = Buffer.alloc(10);
  const reading = follower.read(into, 50);
  growing.ring({ generation: 1, readable: 0 }); // the read is at the disk
  growing.ring({ failure: new Error('given up') });
  await expect(reading).rejects.toThrow('given up');
  expect(events).toEqual([]);
});

test('close rejects a read that waits, and leaves once', async () => {
  const { follower, events } = await follow();
  const reading = follower.read(Buffer.alloc(10), 0);
  await Promise.all([follower.close(), follower.close()]);
  await expect(reading).rejects.toThrow('closed');
  await follower.close();
  expect(events).toEqual(['left false']);
});

test('close rejects a read that is at the disk, and leaves the descriptor only after it', async () => {
  const { growing, follower, events } = await follow();
  growing.readable = 100;
  const reading = follower.read(Buffer.alloc(10), 0);
  await follower.close();
  expect(events).toEqual([]);
  await expect(reading).rejects.toThrow('closed');
  expect(events).toEqual(['left false']);
});

test('a closed follower gives nothing out, though there are bytes', async () => {
  const { growing, follower } = await follow();
  growing.readable = 100;
  await follower.close();
  await expect(follower.read(Buffer.alloc(10), 0)).rejects.toThrow('closed');
});

test('a read that fails at the disk is an error of that read, and closing works after it', async () => {
  const { growing, follower, events, file } = await follow();
  growing.readable = 100;
  await file.close();
  await expect(follower.read(Buffer.alloc(10), 0)).rejects.toMatchObject({ code: 'EBADF' });
  await follower.close();
  expect(events).toEqual(['left false']);
});

test('a file that was cut from outside is an error, not the end of the blob', async () => {
  const { growing, follower } = await follow();
  growing.ring({ readable: small.size + 10, verified: true });
  await expect(follower.read(Buffer.alloc(10), small.size)).rejects.toMatchObject({ code: 'TRUNCATED' });
});

test('its buffer is large with a few followers and small with many, whenever it is asked for', async () => {
  const { growing, follower } = await follow();
  const sizes = [1, 32, 33, 64, 65, 500, 5000].map(followers => {
    growing.followers = followers;
    return follower.preferredBytes / 1024;
  });
  expect(sizes).toEqual([512, 512, 256, 256, 128, 64, 64]);
});

test('an arrival is a byte at that offset, the verified end, a failure, or the end of this follower alone', async () => {
  const { growing, follower } = await follow();
  growing.readable = 100;
  await follower.arrival(99);
  const arrival = follower.arrival(100);
  growing.wake();
  expect(await isPending(arrival)).toBe(true);
  growing.ring({ readable: 101 });
  await arrival;
  const stopped = follower.arrival(101);
  follower.stop(new Error('the client left'));
  await stopped;
  const other = await follow();
  const ended = other.follower.arrival(7);
  other.growing.ring({ failure: new Error('given up') });
  await ended;
  const third = await follow();
  const verified = third.follower.arrival(7);
  third.growing.ring({ verified: true });
  await verified;
});
