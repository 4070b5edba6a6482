/** The two that hold reservations back: the line for room, and the gate before the scan. */
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { ScanGate } from '../../../src/capacity/scan-gate.ts';
import { WaitingLine } from '../../../src/capacity/waiting-line.ts';

describe('the waiting line', () => {
  function line() {
    const desk = { room: 0, most: 100 };
    const granted: number[] = [];
    const waiting = new WaitingLine({
      fits: wish => wish.bytes <= desk.room,
      never: wish => wish.bytes > desk.most,
      grant: wish => {
        desk.room -= wish.bytes;
        granted.push(wish.bytes);
      },
    });
    const join = (bytes: number) => waiting.join({ bytes, digest: undefined });
    return { desk, granted, waiting, join };
  }

  test('serves in order, and stops at the first who has to wait on', async () => {
    const { desk, granted, waiting, join } = line();
    const joined = [join(10), join(50), join(5)];
    desk.room = 20;
    waiting.serve();
    expect([await joined[0], granted, waiting.wishes.map(wish => wish.bytes)]).toEqual([true, [10], [50, 5]]);
    desk.room = 60;
    waiting.serve();
    expect([await Promise.all(joined), waiting.isEmpty]).toEqual([[true, true, true], true]);
  });

  test('sends away whom nothing can help any more, so that the next one is served', async () => {
    const { desk, granted, waiting, join } = line();
    const joined = [join(90), join(5)];
    desk.most = 80; // the limit fell meanwhile
    desk.room = 5;
    waiting.serve();
    expect([await Promise.all(joined), granted]).toEqual([[false, true], [5]]);
  });

  test('at the end gives what is there to whom it fits, and sends the others away', async () => {
    const { desk, waiting, join } = line();
    const joined = [join(30), join(20), join(20)];
    desk.room = 25;
    waiting.dismiss();
    expect([await Promise.all(joined), waiting.isEmpty, desk.room]).toEqual([[false, true, false], true, 5]);
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

  test('that was opened before anybody came holds nobody', async () => {
    const gate = new ScanGate(1e9);
    gate.open();
    await gate.pass();
  });
});
