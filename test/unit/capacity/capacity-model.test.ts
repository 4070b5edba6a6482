/**
 * Capacity against two models: whatever runs at the same time, the sum stays below the limit; and one step after the
 * other, exactly those go that an ordered list says.
 */
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Reservation } from '../../../src/capacity/room.ts';
import { CapacityRig, sum } from './capacity-rig.ts';

const limit = 100;
const blob = fc.nat(11).map(n => `blob ${n}`);
const share = fc.nat(100).map(percent => percent / 100);
const pins = fc.uniqueArray(blob, { maxLength: 2 });
const lowWatermark = fc.constantFrom(0.3, 0.8, 1);

test('under any schedule: held, manifests, partials and reservations stay below the limit, and pinned blobs stay', async () => {
  const operation = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('reserve' as const),
        blob,
        bytes: fc.integer({ min: 1, max: 45 }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('grow' as const),
        at: fc.nat(),
        bytes: fc.integer({ min: 1, max: 20 }),
      }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('settle' as const), at: fc.nat(), share }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('keepPartial' as const), at: fc.nat(), share }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('release' as const), at: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('makeRoom' as const), at: fc.nat() }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('account' as const), bytes: fc.integer({ min: -5, max: 8 }) }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('touch' as const), blob }) },
    {
      weight: 5,
      arbitrary: fc.record({ kind: fc.constant('turns' as const), count: fc.integer({ min: 1, max: 4 }) }),
    },
  );

  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { maxLength: 80 }),
      lowWatermark,
      pins,
      async (operations, low, pinned) => {
        const rig = await CapacityRig.open({ maxBytes: limit, lowWatermark: low });
        for (const name of pinned) rig.pinned.add(name);
        const running: { blob: string; reservation: Reservation }[] = [];
        const waiting = new Set<Promise<unknown>>();
        let manifests = 0;
        let ceiling = limit;
        /** Only an account may go above the limit; from there it may only fall. */
        const check = (): void => {
          expect(rig.total).toBeLessThanOrEqual(ceiling);
          const reserved = sum(running.map(({ reservation }) => reservation.bytes));
          expect(rig.diskBytes + manifests + reserved).toBeLessThanOrEqual(ceiling);
          ceiling = Math.max(limit, rig.total);
        };
        const wait = (work: Promise<unknown>): void => {
          waiting.add(work);
          void work.finally(() => waiting.delete(work));
        };
        const take = (at: number) => running.splice(at % Math.max(1, running.length), 1)[0];

        for (const one of operations) {
          if (one.kind === 'reserve') {
            if (rig.active.has(one.blob) || rig.blobs.has(one.blob)) continue; // one ingest per digest, none for what is held
            rig.active.add(one.blob);
            wait(
              rig.capacity.reserve(one.bytes, rig.digest(one.blob)).then(reservation => {
                if (reservation === undefined) rig.active.delete(one.blob);
                else {
                  rig.partials.delete(one.blob); // its bytes are part of the reservation now
                  running.push({ blob: one.blob, reservation });
                }
                check();
              }),
            );
          } else if (one.kind === 'grow') {
            const growing = running[one.at % Math.max(1, running.length)];
            if (growing !== undefined) wait(growing.reservation.grow(one.bytes).then(check));
          } else if (one.kind === 'makeRoom') {
            const asking = running[one.at % Math.max(1, running.length)];
            if (asking !== undefined) wait(asking.reservation.makeRoom());
          } else if (one.kind === 'turns') {
            for (let n = 0; n < one.count; n += 1) {
              await turn();
              check();
            }
          } else if (one.kind === 'touch') rig.touch(one.blob);
          else if (one.kind === 'account') {
            const bytes = Math.max(-manifests, one.bytes);
            manifests += bytes;
            rig.capacity.account(bytes);
            ceiling = Math.max(ceiling, rig.total);
          } else {
            const ending = take(one.at);
            if (ending === undefined) continue;
            const { reservation } = ending;
            if (one.kind === 'settle')
              rig.settle(reservation, ending.blob, Math.floor(reservation.bytes * one.share));
            else if (one.kind === 'keepPartial') {
              const bytes = Math.floor(reservation.bytes * one.share);
              rig.partials.set(ending.blob, bytes);
              reservation.keepPartial(rig.digest(ending.blob), bytes);
            } else reservation.release();
            rig.active.delete(ending.blob);
          }
          check();
        }
        while (waiting.size > 0) await Promise.all(waiting);
        await rig.capacity.enforce();

        expect(rig.capacity.usage()).toMatchObject({
          heldBytes: rig.diskBytes + manifests,
          reservedBytes: sum(running.map(({ reservation }) => reservation.bytes)),
          blobs: rig.blobs.size,
        });
        for (const name of pinned) expect(rig.removed).not.toContain(`blob ${name}`);
        const remaining = [...rig.blobs.keys()].filter(name => !rig.pinned.has(name));
        if (rig.total > limit) expect(remaining).toEqual([]);
        await rig.capacity.close();
      },
    ),
    { numRuns: 150 },
  );
});

test('one after the other: exactly those go that stand coldest in the model, partials first, down to the watermark', async () => {
  const bytes = fc.integer({ min: 1, max: 45 });
  const operation = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('hold' as const), blob, bytes }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('leave' as const), blob, bytes }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('touch' as const), blob }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('account' as const), bytes: fc.nat(6) }) },
  );

  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { maxLength: 40 }),
      lowWatermark,
      pins,
      async (operations, low, pinned) => {
        const rig = await CapacityRig.open({ maxBytes: limit, lowWatermark: low });
        for (const name of pinned) rig.pinned.add(name);
        const model = new Model(low, new Set(pinned));
        for (const one of operations) {
          if (one.kind === 'touch') {
            rig.touch(one.blob);
            model.touch(one.blob);
          } else if (one.kind === 'account') {
            rig.capacity.account(one.bytes);
            model.manifests += one.bytes;
            if (model.total > limit) model.evictFor(undefined, 0);
          } else if (!rig.blobs.has(one.blob)) {
            rig.active.add(one.blob);
            const reservation = await rig.capacity.reserve(one.bytes, rig.digest(one.blob));
            await rig.capacity.enforce(); // the eviction in the background has ended
            expect(reservation !== undefined).toBe(model.reserve(one.blob, one.bytes));
            if (reservation !== undefined) {
              if (one.kind === 'hold') rig.settle(reservation, one.blob, one.bytes);
              else {
                rig.partials.set(one.blob, one.bytes);
                reservation.keepPartial(rig.digest(one.blob), one.bytes);
              }
              model.end(one.kind, one.blob, one.bytes);
            }
            rig.active.delete(one.blob);
          }
          await rig.capacity.enforce();
          expect(rig.removed).toEqual(model.removed);
          expect(rig.total).toBe(model.total);
        }
        await rig.capacity.close();
      },
    ),
    { numRuns: 150 },
  );
});

interface Piece {
  readonly name: string;
  readonly bytes: number;
}

/** Two lists, coldest first, and the rules in a few lines. */
class Model {
  readonly removed: string[] = [];
  manifests = 0;
  #blobs: Piece[] = [];
  #partials: Piece[] = [];
  readonly #lowBytes: number;
  readonly #pinned: ReadonlySet<string>;

  constructor(low: number, pinned: ReadonlySet<string>) {
    this.#lowBytes = Math.floor(limit * low);
    this.#pinned = pinned;
  }

  get total(): number {
    return this.manifests + sum([...this.#blobs, ...this.#partials].map(piece => piece.bytes));
  }

  touch(name: string): void {
    const touched = this.#blobs.filter(piece => piece.name === name);
    this.#blobs = [...this.#blobs.filter(piece => piece.name !== name), ...touched];
  }

  /** What the partial of that name has is part of these bytes. */
  reserve(name: string, bytes: number): boolean {
    const others = this.total - this.#bytesOfPartial(name);
    if (this.manifests + bytes > limit) return false; // never: nothing goes
    if (others + bytes > limit) this.evictFor(name, bytes);
    return this.total - this.#bytesOfPartial(name) + bytes <= limit;
  }

  /** Down to the low watermark; to the limit, where manifests and the wish are above that already. */
  evictFor(owner: string | undefined, bytes: number): void {
    const extra = (): number => bytes - (owner === undefined ? 0 : this.#bytesOfPartial(owner));
    const goal = this.manifests + bytes <= this.#lowBytes ? this.#lowBytes : limit;
    const isEnough = (): boolean => this.total + extra() <= goal;
    for (const { name } of [...this.#partials]) {
      if (isEnough()) return;
      if (name === owner) continue;
      this.#partials = this.#partials.filter(piece => piece.name !== name);
      this.removed.push(`partial ${name}`);
    }
    for (const { name } of [...this.#blobs]) {
      if (isEnough()) return;
      if (this.#pinned.has(name)) continue;
      this.#blobs = this.#blobs.filter(piece => piece.name !== name);
      this.removed.push(`blob ${name}`);
    }
  }

  end(kind: 'hold' | 'leave', name: string, bytes: number): void {
    this.#partials = this.#partials.filter(piece => piece.name !== name);
    if (kind === 'hold') this.#blobs.push({ name, bytes });
    else this.#partials.push({ name, bytes });
  }

  #bytesOfPartial(name: string): number {
    return this.#partials.find(piece => piece.name === name)?.bytes ?? 0;
  }
}
