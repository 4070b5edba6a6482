/** The two that hold requests for room: the queue, and the gate before the scan. */
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { Ledger } from '../../../src/capacity/ledger.ts';
import { RoomQueue, ScanGate } from '../../../src/capacity/room.ts';

describe('the queue for room', () => {
  /** `disk.held` bytes can be evicted; everything that is booked stays. */
  function openQueue() {
    const disk = { limit: 100, held: 100 };
    const ledger = new Ledger({
      get bytes() {
        return disk.held;
      },
      add: () => {},
    });
    const queue = new RoomQueue(ledger, () => disk.limit);
    const join = (bytes: number) =>
      queue.join({ bytes, digest: undefined, restBytes: 0, formerRestBytes: 0 });
    return { disk, ledger, queue, join };
  }

  test('serves in order, and stops at the first that has to wait on', async () => {
    const { disk, ledger, queue, join } = openQueue();
    const joined = [join(10), join(50), join(5)];
    disk.held = 80;
    queue.serve();
    expect([await joined[0], ledger.reservedBytes, queue.bytes]).toEqual([true, 10, 55]);
    disk.held = 30;
    queue.serve();
    expect([await Promise.all(joined), queue.isEmpty]).toEqual([[true, true, true], true]);
  });

  test('refuses what can never fit, so that the next one is served', async () => {
    const { disk, ledger, queue, join } = openQueue();
    const joined = [join(90), join(5)];
    Object.assign(disk, { limit: 80, held: 75 }); // the limit fell meanwhile
    queue.serve();
    expect([await Promise.all(joined), ledger.reservedBytes]).toEqual([[false, true], 5]);
  });

  test('at the end books what fits, and refuses the others', async () => {
    const { disk, ledger, queue, join } = openQueue();
    const joined = [join(30), join(20), join(20)];
    disk.held = 75;
    queue.dismiss();
    expect([await Promise.all(joined), queue.isEmpty, ledger.reservedBytes]).toEqual([
      [false, true, false],
      true,
      20,
    ]);
  });
});

describe('the gate before the scan', () => {
  function fakeTimers(): void {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
  }

  test('lets all through when it opens, and leaves no timer behind', async () => {
    fakeTimers();
    const gate = new ScanGate(1000);
    const passing = Promise.all([gate.pass(), gate.pass()]);
    expect(vi.getTimerCount()).toBe(1);
    gate.open();
    await passing;
    await gate.pass();
    expect(vi.getTimerCount()).toBe(0);
  });

  test('who comes second waits only for what is left of the first wait; who comes after it not at all', async () => {
    fakeTimers();
    const gate = new ScanGate(1000);
    const passed: string[] = [];
    void gate.pass().then(() => passed.push('first'));
    await vi.advanceTimersByTimeAsync(900);
    void gate.pass().then(() => passed.push('second'));
    await vi.advanceTimersByTimeAsync(99);
    expect(passed).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(passed).toEqual(['first', 'second']);
    await gate.pass();
  });

  test('that was opened before the first caller lets it pass at once', async () => {
    const gate = new ScanGate(1e9);
    gate.open();
    await expect(gate.pass()).resolves.toBeUndefined();
  });
});
