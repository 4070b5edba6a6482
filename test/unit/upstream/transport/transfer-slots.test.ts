/** Who gets one of the slots, who waits, and who gives one away. */

import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { TransferYielded } from '../../../../src/registry/registry.ts';
import { type TransferSlot, TransferSlots } from '../../../../src/upstream/transport/transfer-slots.ts';

/** A transfer that can be told whether a client waits for it. */
class Work {
  isBackground: boolean;
  slot: TransferSlot | undefined;
  readonly queue: boolean[] = [];
  readonly #watchers = new Set<() => void>();

  constructor(isBackground = false) {
    this.isBackground = isBackground;
  }

  watch(onChange: () => void): () => void {
    this.#watchers.add(onChange);
    return () => this.#watchers.delete(onChange);
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  turn(isBackground: boolean): void {
    this.isBackground = isBackground;
    for (const onChange of [...this.#watchers]) onChange();
  }

  /** Asks for a slot, and gives it back when it is asked to yield. */
  async run(slots: TransferSlots, signal = new AbortController().signal): Promise<void> {
    const slot = await slots.acquire({
      signal,
      priority: this,
      onQueue: isWaiting => void this.queue.push(isWaiting),
    });
    this.slot = slot;
    slot.signal.addEventListener('abort', () => this.end());
  }

  end(): void {
    this.slot?.release();
    this.slot = undefined;
  }
}

function start(slots: TransferSlots, count: number, isBackground = false): readonly Work[] {
  const works = Array.from({ length: count }, () => new Work(isBackground));
  for (const work of works) void work.run(slots);
  return works;
}

const states = (works: readonly Work[]) => works.map(({ slot }) => slot !== undefined);

test('transfers that clients wait for start in their order, and none ends another', async () => {
  const slots = new TransferSlots(2);
  const works = start(slots, 4);
  await turn();
  expect(states(works)).toEqual([true, true, false, false]);
  works[0]?.end();
  await turn();
  expect(states(works)).toEqual([false, true, true, false]);
  expect(works.map(({ queue }) => queue)).toEqual([[], [], [true, false], [true]]);
});

test('a transfer whose client has left runs on, until a live one needs its slot; the youngest goes first', async () => {
  const slots = new TransferSlots(3);
  const works = start(slots, 3);
  await turn();
  for (const work of works) work.turn(true);
  const { signal } = works[2]?.slot ?? {};
  expect(states(works)).toEqual([true, true, true]);
  const [live] = start(slots, 1);
  await turn();
  expect([...states(works), live?.slot !== undefined]).toEqual([true, true, false, true]);
  expect(signal?.reason).toBeInstanceOf(TransferYielded);
});

test('a live transfer that waits gets the slot at the moment in which another loses its client', async () => {
  const slots = new TransferSlots(1);
  const [first] = start(slots, 1);
  const [second, third] = start(slots, 2);
  await turn();
  expect(second?.slot).toBeUndefined();
  first?.turn(true);
  await turn();
  expect([first?.slot, third?.slot]).toEqual([undefined, undefined]);
  expect(second?.slot).toBeDefined();
});

test('background transfers take an eighth of the slots anew, after live ones, and a client makes one of them live', async () => {
  const slots = new TransferSlots(16);
  const background = start(slots, 4, true);
  const live = start(slots, 3);
  await turn();
  expect(states(background)).toEqual([true, true, false, false]);
  expect(states(live)).toEqual([true, true, true]);
  background[3]?.turn(false);
  await turn();
  expect(states(background)).toEqual([true, true, false, true]);
});

test('one slot is asked back for each live transfer that waits, not more', async () => {
  const slots = new TransferSlots(4);
  const works = start(slots, 4);
  await turn();
  const stubborn = works.map(work => {
    work.turn(true);
    return work.slot?.signal;
  });
  for (const work of works) work.end = () => {}; // it takes a while to end
  start(slots, 1);
  start(slots, 1);
  await turn();
  expect(stubborn.map(signal => signal?.aborted)).toEqual([false, false, true, true]);
});

test('who leaves the queue takes no slot, and nothing stays watched', async () => {
  const slots = new TransferSlots(1);
  const [first] = start(slots, 1);
  const leaving = new AbortController();
  const left = new Work();
  const gone = left.run(slots, leaving.signal);
  leaving.abort(new Error('left'));
  await expect(gone).rejects.toThrow('left');
  first?.end();
  const [next] = start(slots, 1);
  await turn();
  expect(next?.slot).toBeDefined();
  next?.end();
  expect([first, left, next].map(work => work?.watchers)).toEqual([0, 0, 0]);
  expect(left.queue).toEqual([true, false]);
  await expect(slots.acquire({ signal: AbortSignal.abort(new Error('left')) })).rejects.toThrow('left');
});
