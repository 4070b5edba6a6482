/**
 * The `max_transfers` blob bodies that may run at once at one upstream. Transfers that clients wait for come first: where no
 * slot is free they get the one of a background transfer, which goes on from where it was when a slot is free again.
 */
import { waitFor } from '../../lib/wait.ts';
import { type TransferPriority, TransferYielded } from '../../registry/registry.ts';

export interface SlotRequest {
  readonly signal: AbortSignal;
  /** Absent: a client waits for it until it ends. */
  readonly priority?: TransferPriority | undefined;
  /** Called with true when it has to wait for a slot, and then with false when it waits no longer. */
  onQueue?: ((isWaiting: boolean) => void) | undefined;
}

export interface TransferSlot {
  /** Aborts with `TransferYielded` when another transfer is to have the slot. The slot is free with `release`, not before. */
  readonly signal: AbortSignal;
  /** Idempotent. */
  release(): void;
}

/** So that what runs in the background leaves most of the line to clients. Transfers whose clients have left count only once they have yielded. */
const backgroundShare = 1 / 8;

export class TransferSlots {
  readonly #max: number;
  readonly #maxBackground: number;
  /** In the order in which they came. */
  readonly #waiting = new Set<Slot>();
  /** In the order in which they began. */
  readonly #running = new Set<Slot>();

  constructor(max: number) {
    this.#max = max;
    this.#maxBackground = Math.max(1, Math.floor(max * backgroundShare));
  }

  /** Errors: the signal's reason. */
  async acquire({ signal, priority, onQueue }: SlotRequest): Promise<TransferSlot> {
    signal.throwIfAborted();
    const slot = new Slot(priority, left => this.#leave(left));
    this.#waiting.add(slot);
    slot.watch(() => this.#assign());
    this.#assign();
    if (this.#running.has(slot)) return slot;
    onQueue?.(true);
    try {
      await waitFor(slot.started, signal);
      return slot;
    } catch (error) {
      slot.release();
      throw error;
    } finally {
      onQueue?.(false);
    }
  }

  #leave(slot: Slot): void {
    this.#waiting.delete(slot);
    this.#running.delete(slot);
    this.#assign();
  }

  #assign(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      if (this.#running.size >= this.#max) break;
      this.#waiting.delete(next);
      this.#running.add(next);
      next.start();
    }
    this.#makeRoom();
  }

  #next(): Slot | undefined {
    const waiting = [...this.#waiting];
    const live = waiting.find(slot => !slot.isBackground);
    if (live !== undefined) return live;
    const background = [...this.#running].filter(slot => slot.beganInBackground && slot.isBackground);
    return background.length < this.#maxBackground ? waiting[0] : undefined;
  }

  /** The youngest background transfers yield, one for each live transfer that waits. */
  #makeRoom(): void {
    const needed = [...this.#waiting].filter(slot => !slot.isBackground).length;
    if (needed === 0) return;
    const running = [...this.#running].reverse();
    const asked = running.filter(slot => slot.hasYielded).length;
    const background = running.filter(slot => slot.isBackground && !slot.hasYielded);
    for (const slot of background.slice(0, Math.max(0, needed - asked))) slot.yield();
  }
}

class Slot implements TransferSlot {
  readonly started: Promise<void>;
  readonly #priority: TransferPriority | undefined;
  readonly #onRelease: (slot: Slot) => void;
  readonly #controller = new AbortController();
  #resolveStarted: () => void = () => {};
  #unwatch: () => void = () => {};
  #beganInBackground = false;
  #isReleased = false;

  constructor(priority: TransferPriority | undefined, onRelease: (slot: Slot) => void) {
    this.#priority = priority;
    this.#onRelease = onRelease;
    this.started = new Promise(resolve => {
      this.#resolveStarted = resolve;
    });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get isBackground(): boolean {
    return this.#priority?.isBackground ?? false;
  }

  get beganInBackground(): boolean {
    return this.#beganInBackground;
  }

  get hasYielded(): boolean {
    return this.signal.aborted;
  }

  watch(onChange: () => void): void {
    this.#unwatch = this.#priority?.watch(onChange) ?? this.#unwatch;
  }

  start(): void {
    this.#beganInBackground = this.isBackground;
    this.#resolveStarted();
  }

  yield(): void {
    this.#controller.abort(new TransferYielded());
  }

  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#unwatch();
    this.#onRelease(this);
  }
}
