/**
 * Collection against pushes and eviction, step by step: every order of any two of them, and seeded orders of all. No manifest that was ever
 * answered 201 lacks a blob, and at the end exactly what nothing needs is gone.
 *
 * By hand with other orders: GC_SEED=7 npx vitest run --config test/vitest.config.ts test/unit/hosted/gc/interleavings.test.ts
 */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { Repository } from '../../../../src/oci/name.ts';
import { StoreLayout } from '../../../../src/store/layout.ts';
import { Records } from '../../../../src/store/records/records.ts';
import { app } from '../../../support/hosted-log.ts';
import { Recorder } from '../../../support/recorder.ts';
import { makeTempDir } from '../../../support/temp-dir.ts';
import { InterleavingRig, layer, other, type Setup } from './interleaving-rig.ts';

const steps = 5;
const seed = Number(process.env['GC_SEED'] ?? 1);
const randomOrders = 2000;

let folder: Awaited<ReturnType<typeof makeTempDir>>;
let layout: StoreLayout;
/** With a record that links the layer, and without one. */
let cached: Setup['records'];
const uncached: Setup['records'] = {
  allNames: async () => [],
  look: () => Promise.reject(new Error('there is no record')),
};

beforeAll(async () => {
  folder = await makeTempDir();
  layout = await StoreLayout.open(folder.path);
  const { observer, logger } = new Recorder();
  const records = new Records({ layout, observer, logger });
  const record = await records.open('docker.io/library/alpine');
  record.link(layer);
  cached = { allNames: async () => ['docker.io/library/alpine'], look: async () => record };
});

afterAll(() => folder.remove());
beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

/** Every way to put so many steps of `a` and `b` in a row. */
function* ordersOf(a: string, b: string, ofA = steps, ofB = steps): Generator<string> {
  if (ofA === 0 || ofB === 0) {
    yield a.repeat(ofA) + b.repeat(ofB);
    return;
  }
  for (const rest of ordersOf(a, b, ofA - 1, ofB)) yield a + rest;
  for (const rest of ordersOf(a, b, ofA, ofB - 1)) yield b + rest;
}

interface Play {
  readonly isCached: boolean;
  readonly isHosted: boolean;
  /** Where the second pusher pushes to. */
  readonly second: Repository;
}

async function play(
  letters: string,
  order: string,
  { isCached, isHosted, second }: Play,
): Promise<InterleavingRig> {
  const rig = await InterleavingRig.create({ layout, records: isCached ? cached : uncached, isHosted });
  const actors: Readonly<Record<string, () => Promise<void>>> = {
    c: () => rig.collect(),
    e: () => rig.evict(),
    p: () => rig.push(app, 'one'),
    q: () => rig.push(second, 'two'),
  };
  await rig.stage.run(
    Object.fromEntries(letters.split('').map(letter => [letter, actors[letter] ?? rig.collect])),
    order,
  );
  rig.check();
  const pushers = letters.split('').filter(letter => 'pq'.includes(letter)).length;
  expect(rig.answered).toHaveLength(pushers);
  const needed = rig.answered.map(({ digest }) => digest);
  const left = await rig.leftAtTheEnd();
  // Without a pusher the layer is the cache's where it was before or a record links it, and may have been evicted.
  const mayStay = needed.length > 0 || isCached || !isHosted;
  const isThere = needed.length > 0 || (mayStay && left.includes(layer));
  expect(left).toEqual([...needed, ...(isThere ? [layer] : [])].sort());
  return rig;
}

/** A layer that loses its last link, and one of the cache. */
const hosted = { isHosted: true, isCached: true, second: other };
const unlinked = { isHosted: true, isCached: false, second: other };
const evictable = { isHosted: false, isCached: true, second: other };
const pairs: readonly (readonly [string, readonly Play[]])[] = [
  ['ce', [hosted, unlinked]],
  ['cp', [hosted, unlinked]],
  ['ep', [evictable, { ...evictable, isCached: false }]],
  ['pq', [evictable, { ...unlinked, second: app }]],
];
const timeoutMs = 120_000; // some 5 s where nothing else runs

test.each(pairs)(
  'all 252 orders of %s, with a layer of the cache and with one whose last link goes',
  async (letters, plays) => {
    const [a = '', b = ''] = letters;
    const orders = [...ordersOf(a, b)];
    expect(orders).toHaveLength(252);
    for (const order of orders) {
      for (const one of plays) {
        try {
          await play(letters, order, one);
        } catch (error) {
          throw new Error(`${order} with ${JSON.stringify(one)}`, { cause: error });
        }
      }
    }
  },
  timeoutMs,
);

test('each of them has at least five steps to put in order', async () => {
  const passed = new Map<string, number>();
  for (const [letter, one] of [
    ['c', unlinked],
    ['e', evictable],
    ['p', unlinked],
    ['q', unlinked],
  ] as const)
    passed.set(letter, (await play(letter, '', one)).stage.passed.get(letter) ?? 0);
  for (const count of passed.values()) expect(count).toBeGreaterThanOrEqual(steps);
});

test(
  `${randomOrders} orders of a collector, an evictor and two pushers of one blob (seed ${seed})`,
  async () => {
    let state = (seed * 2_654_435_761) >>> 0 || 1;
    const below = (limit: number): number => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      state >>>= 0;
      return state % limit;
    };
    for (let run = 0; run < randomOrders; run += 1) {
      const letters = 'cepq'.repeat(steps + 2).split('');
      for (let at = letters.length - 1; at > 0; at -= 1) {
        const to = below(at + 1);
        [letters[at], letters[to]] = [letters[to] ?? '', letters[at] ?? ''];
      }
      const one = {
        isCached: below(2) === 0,
        isHosted: below(2) === 0,
        second: below(2) === 0 ? app : other,
      };
      const order = letters.join('');
      try {
        await play('cepq', order, one);
      } catch (error) {
        throw new Error(`seed ${seed}, run ${run}: ${order} with ${JSON.stringify(one)}`, { cause: error });
      }
    }
  },
  timeoutMs,
);
