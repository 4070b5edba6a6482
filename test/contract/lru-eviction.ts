/** What eviction must do over every LRU index: watermarks, pins, uses in the middle of it, and the order after a loss. */
import { describe, expect, test } from 'vitest';
import { Capacity } from '../../src/capacity/capacity.ts';
import { rebuildLru } from '../../src/lru/index/rebuild.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { Recorder } from '../support/recorder.ts';
import type { CreateLru, LruUnderTest } from './lru.ts';

const blobBytes = 10;

function blob(n: number): Digest {
  return digestOf(Buffer.from(`evicted ${n}`));
}

/** A disk of blobs of 10 bytes each, of which 1000 may be held. */
class Disk {
  readonly lru: LruUnderTest;
  readonly capacity: Capacity;
  readonly held: Set<number>;
  readonly removed: number[] = [];
  readonly pinned = new Set<number>();
  /** Called before each removal. */
  onRemoval: (n: number) => void = () => {};

  constructor(lru: LruUnderTest, count: number, now: () => number) {
    this.lru = lru;
    this.held = new Set(Array.from({ length: count }, (_, n) => n));
    const { observer, logger } = new Recorder();
    this.capacity = new Capacity({
      maxBytes: 1000,
      minFreeBytes: 0,
      lowWatermark: 0.5,
      lru,
      observer,
      logger,
      now,
      files: {
        disk: { freeBytes: () => Promise.resolve({ free: 1e9, total: 2e9 }) },
        downloads: { heldBytes: 0, isActive: () => false },
        unlinkBlob: digest => this.#unlink(digest),
        unlinkPartial: () => Promise.resolve(0),
        mayEvict: digest => ![...this.pinned].some(n => blob(n) === digest),
        findPartial: () => Promise.resolve(undefined),
        recordBytes: () => 0,
        unusedRecords: () => ({ isNextBefore: () => false, removeNext: async () => 0, end: () => {} }),
      },
    });
  }

  async #unlink(digest: Digest): Promise<number> {
    const found = [...this.held].find(n => blob(n) === digest);
    if (found === undefined) throw new Error(`expected a held blob, got ${digest}`);
    this.onRemoval(found);
    await Promise.resolve();
    this.held.delete(found);
    this.removed.push(found);
    return blobBytes;
  }
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, n) => from + n);
}

export function describeEviction(name: string, create: CreateLru): void {
  describe(`eviction over ${name}`, () => {
    let nowMs = 1_700_000_000_000;
    const now = (): number => {
      nowMs += 1;
      return nowMs;
    };

    /** `count` blobs, added one after the other. */
    async function filled(count: number): Promise<Disk> {
      const lru = await create({ now });
      for (const n of numbers(0, count)) lru.add(blob(n), blobBytes);
      const disk = new Disk(lru, count, now);
      await disk.capacity.start();
      return disk;
    }

    async function expectSame({ lru, held }: Disk): Promise<void> {
      const entries = await lru.coldest(1000);
      expect(new Set(entries.map(({ digest }) => digest))).toEqual(new Set(Array.from(held, blob)));
      expect([lru.count, lru.bytes]).toEqual([held.size, held.size * blobBytes]);
    }

    test('begins above the limit, ends at the low watermark, and takes the coldest', async () => {
      const disk = await filled(100);
      await disk.capacity.scanned();
      expect(disk.removed).toEqual([]);
      disk.lru.touch(blob(0));
      disk.lru.add(blob(100), blobBytes);
      disk.held.add(100);
      await disk.capacity.enforce();
      expect(disk.removed).toEqual(numbers(1, 52));
      await expectSame(disk);
    });

    test('passes over what is pinned, however cold', async () => {
      const disk = await filled(120);
      for (const n of numbers(0, 40)) disk.pinned.add(n);
      await disk.capacity.scanned();
      expect(disk.removed).toEqual(numbers(40, 110));
      await expectSame(disk);
    });

    test('leaves what is used while it goes on', async () => {
      const disk = await filled(120);
      disk.onRemoval = n => {
        if (n === 0) for (const used of numbers(40, 60)) disk.lru.touch(blob(used));
        disk.lru.touch(blob(n)); // a reader still has it open: it doesn't come back
      };
      await disk.capacity.scanned();
      expect(disk.removed).toEqual([...numbers(0, 40), ...numbers(60, 90)]);
      await expectSame(disk);
    });

    test('takes blobs that come and are used in between for what they are', async () => {
      const disk = await filled(120);
      let next = 1000;
      disk.onRemoval = () => {
        disk.held.add(next);
        disk.lru.add(blob(next), 0);
        next += 1;
      };
      await disk.capacity.scanned();
      expect(disk.removed).toEqual(numbers(0, 70));
      expect(disk.lru.count).toBe(120);
    });

    test('goes by the times of the files after the index was lost', async () => {
      const lru = await create({ now });
      const disk = new Disk(lru, 110, now);
      await disk.capacity.start();
      const scan = (async function* () {
        for (const n of numbers(0, 110)) yield { digest: blob(n), size: blobBytes, mtimeMs: 1000 - n };
      })();
      const { signal } = new AbortController();
      await rebuildLru({ scan, isManifest: () => false, lru, now, signal });
      await disk.capacity.scanned();
      expect(disk.removed).toEqual(numbers(50, 110).reverse());
      await expectSame(disk);
    });
  });
}
