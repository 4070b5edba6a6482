/**
 * What every LRU index must do, whatever it is made of. Two things are left open on purpose: how soon another process
 * sees a touch, and in which order uses of the same millisecond stand (so the clock here never stands still).
 */
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { type FoundBlob, rebuildLru } from '../../src/lru/index/rebuild.ts';
import type { LoadableLru, Lru, LruEntry } from '../../src/lru/lru.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';

export type LruUnderTest = Lru & LoadableLru;

/** Gives an empty index, as after a loss of everything. A factory that has to clean up uses `onTestFinished`. */
export type CreateLru = (options: { readonly now: () => number }) => Promise<LruUnderTest>;

const names = ['a', 'b', 'c', 'd', 'e', 'f'] as const;
const digests: ReadonlyMap<string, Digest> = new Map(names.map(name => [name, digestOf(Buffer.from(name))]));
const all = 1000;

function digestNamed(name: string): Digest {
  const digest = digests.get(name);
  if (digest === undefined) throw new Error(`expected one of ${names.join(', ')}, got ${name}`);
  return digest;
}

function nameOf(digest: Digest): string {
  return names.find(name => digests.get(name) === digest) ?? digest;
}

function show(entries: readonly LruEntry[]): string[] {
  return entries.map(({ digest, size }) => `${nameOf(digest)} ${size}`);
}

export function describeLru(name: string, create: CreateLru): void {
  describe(`${name} as an LRU index`, () => {
    let nowMs = 0;
    const now = (): number => {
      nowMs += 1;
      return nowMs;
    };
    let lru: LruUnderTest;

    beforeEach(async () => {
      nowMs = 1_700_000_000_000;
      lru = await create({ now });
    });

    const add = (...entries: string[]) => {
      for (const entry of entries) lru.add(digestNamed(entry), entry.charCodeAt(0));
    };
    const order = async () => (await lru.coldest(all)).map(entry => nameOf(entry.digest));
    const rebuild = (found: readonly FoundBlob[], meanwhile: () => void = () => {}) =>
      rebuildLru({
        scan: (async function* () {
          yield* found;
          meanwhile();
        })(),
        isManifest: () => false,
        lru,
        now,
        signal: new AbortController().signal,
      });
    const found = (blob: string, mtimeMs: number, size = 10): FoundBlob => ({
      digest: digestNamed(blob),
      size,
      mtimeMs,
    });

    test('an empty one holds nothing', async () => {
      expect([await lru.coldest(all), lru.bytes, lru.count]).toEqual([[], 0, 0]);
    });

    test('what was added first is the coldest; sizes and times of the use stand with it', async () => {
      lru.add(digestNamed('a'), 5);
      const between = now();
      lru.add(digestNamed('b'), 7);
      const [first, second] = await lru.coldest(all);
      expect(first).toMatchObject({ digest: digestNamed('a'), size: 5 });
      expect(second).toMatchObject({ digest: digestNamed('b'), size: 7 });
      expect(first?.lastUseMs).toBeLessThan(between);
      expect(second?.lastUseMs).toBeGreaterThan(between);
      expect([lru.bytes, lru.count]).toEqual([12, 2]);
    });

    test('it tells the size of what it holds, and of nothing else; to ask is no use', async () => {
      lru.add(digestNamed('a'), 5);
      await rebuild([found('b', 1, 7)], () => lru.touch(digestNamed('c')));
      const sizes = ['a', 'b', 'c', 'd'].map(blob => lru.sizeOf(digestNamed(blob)));
      expect(sizes).toEqual([5, 7, undefined, undefined]);
      expect(await order()).toEqual(['b', 'a']);
      lru.remove(digestNamed('a'));
      expect(lru.sizeOf(digestNamed('a'))).toBeUndefined();
    });

    test('a touch makes it the hottest, with the time of that touch', async () => {
      add('a', 'b', 'c');
      const before = now();
      lru.touch(digestNamed('a'));
      expect(await order()).toEqual(['b', 'c', 'a']);
      expect((await lru.coldest(all))[2]?.lastUseMs).toBeGreaterThan(before);
      expect(lru.count).toBe(3);
    });

    test('adding once more is a use, and the new size counts instead of the old one', async () => {
      add('a', 'b');
      lru.add(digestNamed('a'), 1);
      expect(show(await lru.coldest(all))).toEqual(['b 98', 'a 1']);
      expect([lru.bytes, lru.count]).toEqual([99, 2]);
    });

    test('an empty blob is a blob', async () => {
      lru.add(digestNamed('a'), 0);
      expect([show(await lru.coldest(all)), lru.bytes, lru.count]).toEqual([['a 0'], 0, 1]);
    });

    test('a touch of what it does not know is ignored, also after its removal', async () => {
      lru.touch(digestNamed('a'));
      add('b', 'c');
      lru.remove(digestNamed('b'));
      lru.touch(digestNamed('b'));
      expect([await order(), lru.bytes, lru.count]).toEqual([['c'], 99, 1]);
    });

    test('what is removed is gone with its bytes; removing it twice, or something unknown, changes nothing', async () => {
      add('a', 'b', 'c');
      lru.remove(digestNamed('b'));
      lru.remove(digestNamed('b'));
      lru.remove(digestNamed('f'));
      expect([await order(), lru.bytes, lru.count]).toEqual([['a', 'c'], 97 + 99, 2]);
    });

    test('it gives as many of the coldest as are asked for, and looking is no use', async () => {
      add('a', 'b', 'c', 'd');
      expect(show(await lru.coldest(0))).toEqual([]);
      expect(show(await lru.coldest(1))).toEqual(['a 97']);
      expect(show(await lru.coldest(3))).toEqual(['a 97', 'b 98', 'c 99']);
      expect(await order()).toEqual(['a', 'b', 'c', 'd']);
    });

    test('touches while an eviction goes on: the touched ones are hot, those removed stay removed', async () => {
      add(...names);
      const asked = lru.coldest(2);
      lru.touch(digestNamed('c'));
      for (const { digest } of await asked) {
        lru.remove(digest); // its file is gone …
        lru.touch(digest); // … but a reader still has it open
      }
      lru.touch(digestNamed('d'));
      expect(await order()).toEqual(['e', 'f', 'c', 'd']);
      expect(lru.bytes).toBe(99 + 100 + 101 + 102);
    });

    test('lost and rebuilt, it is as it was: by the last use of each file, whatever the order they are found in', async () => {
      const summary = await rebuild([found('c', 300, 3), found('a', 100, 1), found('b', 200, 2)]);
      expect(summary).toEqual({ blobs: 3, blobBytes: 6, manifests: 0, manifestBytes: 0 });
      expect(show(await lru.coldest(all))).toEqual(['a 1', 'b 2', 'c 3']);
      expect((await lru.coldest(1))[0]?.lastUseMs).toBe(100);
      expect([lru.bytes, lru.count]).toEqual([6, 3]);
    });

    test('what was used before and during a rebuild is hotter than all that is found', async () => {
      add('a');
      await rebuild([found('a', 1, 97), found('b', 2), found('c', 3), found('d', 4)], () => {
        lru.touch(digestNamed('c'));
        lru.add(digestNamed('e'), 10);
      });
      expect(await order()).toEqual(['b', 'd', 'a', 'c', 'e']);
      expect([lru.bytes, lru.count]).toEqual([97 + 40, 5]);
    });

    test('what was removed during a rebuild does not come back, unless it was added after that', async () => {
      await rebuild([found('a', 1), found('b', 2), found('c', 3)], () => {
        lru.remove(digestNamed('a'));
        lru.touch(digestNamed('a'));
        lru.remove(digestNamed('b'));
        lru.add(digestNamed('b'), 7);
      });
      expect(show(await lru.coldest(all))).toEqual(['c 10', 'b 7']);
      expect([lru.bytes, lru.count]).toEqual([17, 2]);
    });

    test('a touch of something that the rebuild does not find leaves no trace', async () => {
      await rebuild([found('a', 1)], () => lru.touch(digestNamed('f')));
      expect([await order(), lru.bytes, lru.count]).toEqual([['a'], 10, 1]);
      lru.touch(digestNamed('f'));
      expect(lru.count).toBe(1);
    });

    test('what a rebuild found is touched, added and removed like anything else', async () => {
      await rebuild([found('a', 1), found('b', 2), found('c', 3), found('d', 4)]);
      lru.touch(digestNamed('b'));
      lru.add(digestNamed('a'), 5);
      lru.remove(digestNamed('c'));
      expect(show(await lru.coldest(all))).toEqual(['d 10', 'b 10', 'a 5']);
      expect([lru.bytes, lru.count]).toEqual([25, 3]);
    });

    test('after any operations it stands as a plain list of uses does', async () => {
      const blob = fc.constantFrom(...names);
      const operation = fc.oneof(
        fc.record({ kind: fc.constant('touch' as const), blob }),
        fc.record({ kind: fc.constant('add' as const), blob, size: fc.nat(100) }),
        fc.record({ kind: fc.constant('remove' as const), blob }),
      );
      const files = fc.uniqueArray(fc.record({ blob, size: fc.nat(100), mtimeMs: fc.nat(1000) }), {
        selector: file => file.blob,
      });
      type Operations = readonly (typeof operation extends fc.Arbitrary<infer T> ? T : never)[];

      await fc.assert(
        fc.asyncProperty(fc.array(operation), files, fc.array(operation), async (before, onDisk, after) => {
          lru = await create({ now });
          let model: { blob: string; size: number }[] = [];
          const without = (name: string) => model.filter(entry => entry.blob !== name);
          const run = (operations: Operations) => {
            for (const one of operations) {
              const known = model.find(entry => entry.blob === one.blob);
              if (one.kind === 'touch') {
                lru.touch(digestNamed(one.blob));
                if (known !== undefined) model = [...without(one.blob), known];
              } else if (one.kind === 'add') {
                lru.add(digestNamed(one.blob), one.size);
                model = [...without(one.blob), { blob: one.blob, size: one.size }];
              } else {
                lru.remove(digestNamed(one.blob));
                model = without(one.blob);
              }
            }
          };
          run(before);
          await rebuild(onDisk.map(file => ({ ...file, digest: digestNamed(file.blob) })));
          const unknown = onDisk.filter(file => model.every(entry => entry.blob !== file.blob));
          model = [...unknown.sort((a, b) => a.mtimeMs - b.mtimeMs), ...model];
          const ties = new Set(unknown.map(file => file.mtimeMs)).size < unknown.length;
          fc.pre(!ties);
          run(after);

          expect(show(await lru.coldest(all))).toEqual(model.map(({ blob, size }) => `${blob} ${size}`));
          expect(lru.bytes).toBe(model.reduce((sum, entry) => sum + entry.size, 0));
          expect(lru.count).toBe(model.length);
        }),
        { numRuns: 200 },
      );
    });
  });
}
