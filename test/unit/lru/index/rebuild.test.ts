/** How a rebuild goes on; what stands in the index afterwards is the matter of the contract of LRU indexes. */
import { expect, test } from 'vitest';
import { EmbeddedLru } from '../../../../src/lru/index/embedded-lru.ts';
import { type FoundBlob, rebuildLru } from '../../../../src/lru/index/rebuild.ts';
import type { LoadableLru, LruEntry } from '../../../../src/lru/lru.ts';
import { type Digest, digestOf } from '../../../../src/oci/digest.ts';

function found(n: number, size = 1): FoundBlob {
  return { digest: digestOf(Buffer.from(`blob ${n}`)), size, mtimeMs: n };
}

async function* scanOf(blobs: Iterable<FoundBlob>): AsyncGenerator<FoundBlob> {
  yield* blobs;
}

/** Keeps what it is told, and can do something at each load. */
class LoadRecorder implements LoadableLru {
  readonly calls: string[] = [];
  readonly loaded: LruEntry[] = [];
  onLoad: () => void = () => {};

  beginLoading(): void {
    this.calls.push('begin');
  }

  load(entries: readonly LruEntry[]): void {
    this.calls.push(`load ${entries.length}`);
    this.loaded.push(...entries);
    this.onLoad();
  }

  endLoading(): void {
    this.calls.push('end');
  }
}

test('manifests stay out of the index and are summed up apart', async () => {
  const lru = new EmbeddedLru({ now: () => 0 });
  const manifest = found(2, 30);
  const rebuilt = await rebuildLru({
    scan: scanOf([found(1, 10), manifest, found(3, 20)]),
    isManifest: digest => digest === manifest.digest,
    lru,
    now: () => 0,
    signal: new AbortController().signal,
  });
  expect(rebuilt).toEqual({ blobs: 2, blobBytes: 30, manifests: 1, manifestBytes: 30 });
  expect((await lru.coldest(10)).map(entry => entry.digest)).toEqual([found(1).digest, found(3).digest]);
});

test('uses are remembered from its first line on, before the scan has begun', async () => {
  const lru = new EmbeddedLru({ now: () => 5000 });
  const blobs = [found(1), found(2)];
  const rebuilding = rebuildLru({
    scan: scanOf(blobs),
    isManifest: () => false,
    lru,
    now: () => 0,
    signal: new AbortController().signal,
  });
  lru.touch(found(1).digest);
  await rebuilding;
  const [first, second] = await lru.coldest(10);
  expect([first?.lastUseMs, second?.digest]).toEqual([2, found(1).digest]);
  expect(second?.lastUseMs).toBeGreaterThanOrEqual(5000);
});

test('a touched blob is not evictable before its file was found', async () => {
  const lru = new EmbeddedLru({ now: () => 1 });
  lru.beginLoading();
  lru.touch(found(1).digest);
  expect([await lru.coldest(10), lru.count, lru.bytes]).toEqual([[], 0, 0]);
  lru.load([{ digest: found(1).digest, size: 8, lastUseMs: 0 }]);
  expect([(await lru.coldest(10)).length, lru.count, lru.bytes]).toEqual([1, 1, 8]);
  lru.endLoading();
});

test('removing what was only touched while loading forgets it for good', async () => {
  const lru = new EmbeddedLru({ now: () => 1 });
  const { digest } = found(1);
  lru.beginLoading();
  lru.touch(digest);
  lru.remove(digest);
  lru.load([{ digest, size: 8, lastUseMs: 0 }]);
  lru.endLoading();
  expect([await lru.coldest(10), lru.count, lru.bytes]).toEqual([[], 0, 0]);
});

test('a second rebuild of the same files changes nothing', async () => {
  const lru = new EmbeddedLru({ now: () => 1 });
  const options = { isManifest: () => false, lru, now: () => 0, signal: new AbortController().signal };
  await rebuildLru({ ...options, scan: scanOf([found(1, 5), found(2, 6)]) });
  const before = await lru.coldest(10);
  await rebuildLru({ ...options, scan: scanOf([found(2, 6), found(1, 5)]) });
  expect([await lru.coldest(10), lru.count, lru.bytes]).toEqual([before, 2, 11]);
});

test('loading goes in slices: when one has lasted long enough, others have their turn', async () => {
  const lru = new LoadRecorder();
  let nowMs = 0;
  let turns = 0;
  const turnsAt: number[] = [];
  lru.onLoad = () => {
    nowMs += 6; // a slice of 10 ms holds two of these
    turnsAt.push(turns);
  };
  const count = 256 * 5 + 3;
  let ended = false;
  const others = (): void => {
    turns += 1;
    if (!ended) setImmediate(others);
  };
  const scan = (async function* () {
    setImmediate(others);
    for (let n = 1; n <= count; n += 1) yield found(n);
  })();
  await rebuildLru({
    scan,
    isManifest: () => false,
    lru,
    now: () => nowMs,
    signal: new AbortController().signal,
  });
  ended = true;
  expect(lru.calls).toEqual(['begin', ...Array.from({ length: 5 }, () => 'load 256'), 'load 3', 'end']);
  expect(lru.loaded.map(entry => entry.lastUseMs)).toEqual(Array.from({ length: count }, (_, i) => i + 1));
  const [first, second, third, fourth, fifth, last] = turnsAt;
  expect([first === second, third === fourth, fifth === last]).toEqual([true, true, true]);
  expect(third).toBeGreaterThan(second ?? Infinity);
  expect(fifth).toBeGreaterThan(fourth ?? Infinity);
});

test('an abort ends the scan with its reason, and the index is no longer loading', async () => {
  const lru = new LoadRecorder();
  const controller = new AbortController();
  const reason = new Error('shutting down');
  let scanEnded = false;
  const scan = (async function* () {
    try {
      for (let n = 0; ; n += 1) {
        if (n === 3) controller.abort(reason);
        yield found(n);
      }
    } finally {
      scanEnded = true;
    }
  })();
  const options = { scan, isManifest: () => false, lru, now: () => 0, signal: controller.signal };
  await expect(rebuildLru(options)).rejects.toBe(reason);
  expect([lru.calls, scanEnded]).toEqual([['begin', 'end'], true]);
});

test('an abort between two slices leaves what was loaded', async () => {
  const lru = new LoadRecorder();
  const controller = new AbortController();
  let nowMs = 0;
  lru.onLoad = () => {
    nowMs += 10;
    controller.abort(new Error('shutting down'));
  };
  const blobs = Array.from({ length: 1000 }, (_, n) => found(n));
  const options = { isManifest: () => false, lru, now: () => nowMs, signal: controller.signal };
  await expect(rebuildLru({ ...options, scan: scanOf(blobs) })).rejects.toThrow('shutting down');
  expect(lru.calls).toEqual(['begin', 'load 256', 'end']);
});

test('what the scan throws comes through, and what was touched meanwhile without a file is dropped', async () => {
  const lru = new EmbeddedLru({ now: () => 1 });
  const unknown: Digest = found(9).digest;
  const scan = (async function* () {
    yield found(1);
    lru.touch(unknown);
    throw new Error('the disk is gone');
  })();
  const options = { scan, isManifest: () => false, lru, now: () => 0, signal: new AbortController().signal };
  await expect(rebuildLru(options)).rejects.toThrow('the disk is gone');
  expect(lru.count).toBe(0);
  lru.add(unknown, 4);
  expect([lru.count, lru.bytes]).toEqual([1, 4]);
});
