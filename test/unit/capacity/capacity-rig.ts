/**
 * A capacity over a disk of numbers: blobs and partials are sizes by name, every unlink takes a turn, and what was
 * removed is kept in order. The index is the embedded one.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { Capacity, type CapacityOptions } from '../../../src/capacity/capacity.ts';
import type { UnusedRecords } from '../../../src/capacity/evictor.ts';
import type { Pins } from '../../../src/capacity/ledger.ts';
import type { Reservation } from '../../../src/capacity/room.ts';
import { EmbeddedLru } from '../../../src/lru/index/embedded-lru.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import { Recorder } from '../../support/recorder.ts';

export interface RigOptions {
  readonly maxBytes?: number;
  readonly lowWatermark?: number;
  /** 0 unless given: only `max_size` limits. */
  readonly minFreeBytes?: number | undefined;
  readonly diskBytes?: number;
  /** The capacity knows how much is pinned, and not only that it may not go. */
  readonly countsPins?: boolean;
  /** Held up by the test; one turn unless given. */
  readonly unlinkTakes?: () => Promise<void>;
}

export class CapacityRig {
  readonly lru: EmbeddedLru;
  readonly capacity: Capacity;
  readonly recorder = new Recorder();
  /** What is on the disk: sizes of blobs and of partials that no download fills. */
  readonly blobs = new Map<string, number>();
  readonly partials = new Map<string, number>();
  /** `blob a`, `partial b`, in the order in which they went. */
  readonly removed: string[] = [];
  readonly pinned = new Set<string>();
  /** Pinned blobs that came to their place. */
  readonly heldPins = new Map<string, number>();
  readonly active = new Set<string>();
  /** The disk refuses to remove these. */
  readonly stuck = new Set<string>();
  /** Bytes of others on the same disk, and of running reservations. */
  foreignBytes = 0;
  /** Of records and lists. */
  recordBytes = 0;
  /** Unused repositories: what they free beside their records, and when they were last used; the one used longest ago first. */
  unused: { readonly name: string; readonly bytes: number; readonly lastUseMs: number }[] = [];
  writtenBytes = 0;
  looks = 0;
  /** The disk can't be asked. */
  blind = false;
  unlinksTried = 0;
  unlinksAtOnce = 0;
  mostUnlinksAtOnce = 0;
  nowMs = 1_000_000;
  readonly #names = new Map<Digest, string>();
  readonly #options: RigOptions;

  #downloads(): { readonly heldBytes: number; isActive(digest: Digest): boolean } {
    const rig = this;
    return {
      get heldBytes() {
        return rig.writtenBytes;
      },
      isActive: digest => this.active.has(this.nameOf(digest)),
    };
  }

  private constructor(options: RigOptions) {
    this.#options = options;
    this.lru = new EmbeddedLru({ now: () => this.#tick() });
    this.capacity = new Capacity(this.#capacityOptions());
  }

  /** After the scan of an empty store, unless `scanned` is false. */
  static async open(options: RigOptions = {}, scanned = true): Promise<CapacityRig> {
    const rig = new CapacityRig(options);
    onTestFinished(() => rig.capacity.close());
    await rig.capacity.start();
    if (scanned) await rig.capacity.scanned();
    return rig;
  }

  digest(name: string): Digest {
    const digest = digestOf(Buffer.from(name));
    this.#names.set(digest, name);
    return digest;
  }

  nameOf(digest: Digest): string {
    return this.#names.get(digest) ?? digest;
  }

  /** Undefined reservations are a failure of the test. */
  async reserve(bytes: number, name?: string): Promise<Reservation> {
    const reservation = await this.capacity.reserve(
      bytes,
      name === undefined ? undefined : this.digest(name),
    );
    if (reservation === undefined) throw new Error(`expected room for ${bytes} bytes, got none`);
    return reservation;
  }

  /** Held blobs, the first one the coldest. */
  async hold(...blobs: readonly (readonly [name: string, bytes: number])[]): Promise<void> {
    for (const [name, bytes] of blobs) this.settle(await this.reserve(bytes), name, bytes);
  }

  settle(reservation: Reservation, name: string, bytes: number): void {
    this.partials.delete(name);
    this.blobs.set(name, bytes);
    reservation.settle(this.digest(name), bytes);
  }

  /** A partial that stays. */
  async leave(name: string, bytes: number): Promise<void> {
    const reservation = await this.reserve(bytes);
    this.partials.set(name, bytes);
    reservation.keepPartial(this.digest(name), bytes);
  }

  touch(name: string): void {
    this.lru.touch(this.digest(name));
  }

  /** Held plus reserved, as capacity counts it. */
  get total(): number {
    const { heldBytes, reservedBytes } = this.capacity.usage();
    return heldBytes + reservedBytes;
  }

  get diskBytes(): number {
    return sum(this.blobs.values()) + sum(this.partials.values());
  }

  #tick(): number {
    this.nowMs += 1;
    return this.nowMs;
  }

  async #unlink(kind: 'blob' | 'partial', digest: Digest): Promise<number> {
    const files = kind === 'blob' ? this.blobs : this.partials;
    const name = this.nameOf(digest);
    this.unlinksTried += 1;
    this.unlinksAtOnce += 1;
    this.mostUnlinksAtOnce = Math.max(this.mostUnlinksAtOnce, this.unlinksAtOnce);
    await (this.#options.unlinkTakes?.() ?? turn());
    this.unlinksAtOnce -= 1;
    if (this.stuck.has(name)) throw new Error(`cannot remove ${name}`);
    const bytes = files.get(name) ?? 0;
    if (files.delete(name)) this.removed.push(`${kind} ${name}`);
    return bytes;
  }

  #unusedRecords(): UnusedRecords {
    return {
      isNextBefore: lastUseMs => (this.unused[0]?.lastUseMs ?? Infinity) < lastUseMs,
      removeNext: async () => {
        await turn();
        const next = this.unused.shift();
        if (next === undefined) throw new Error('expected an unused record, got none');
        this.removed.push(`record ${next.name}`);
        this.capacity.account(-next.bytes);
      },
      end: () => {},
    };
  }

  #pins(): Pins {
    const { heldPins, pinned } = this;
    return {
      get bytes() {
        return sum(heldPins.values());
      },
      held: (digest, size) => {
        const name = this.nameOf(digest);
        if (pinned.has(name)) heldPins.set(name, size);
      },
    };
  }

  #capacityOptions(): CapacityOptions {
    const { maxBytes = 100, lowWatermark = 1, diskBytes = 1e12 } = this.#options;
    const minFreeBytes = 'minFreeBytes' in this.#options ? this.#options.minFreeBytes : 0;
    return {
      maxBytes,
      minFreeBytes,
      lowWatermark,
      lru: this.lru,
      observer: this.recorder.observer,
      logger: this.recorder.logger,
      now: () => this.#tick(),
      ...(this.#options.countsPins === true && { pins: this.#pins() }),
      files: {
        disk: {
          freeBytes: async () => {
            this.looks += 1;
            await turn();
            if (this.blind) throw new Error('statfs failed');
            const used = this.diskBytes + this.foreignBytes + this.writtenBytes;
            return { free: Math.max(0, diskBytes - used), total: diskBytes };
          },
        },
        unlinkBlob: digest => this.#unlink('blob', digest),
        unlinkPartial: digest => this.#unlink('partial', digest),
        mayEvict: digest => !this.pinned.has(this.nameOf(digest)),
        findPartial: async digest => {
          const bytes = this.partials.get(this.nameOf(digest));
          return bytes === undefined ? undefined : { digest, bytes, lastUseMs: this.nowMs };
        },
        downloads: this.#downloads(),
        recordBytes: () => this.recordBytes,
        unusedRecords: () => this.#unusedRecords(),
      },
    };
  }
}

export function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}
