/** When a silent connection is given up, by a clock that moves only when told. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { StallGuard } from '../../../../src/cached/download/stall-guard.ts';
import { deferred } from '../../../support/gates.ts';
import { isPending, untilAborted } from '../rig.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Gives a chunk each time it is told to; ends with the signal. */
class Tap {
  readonly #signal: AbortSignal;
  #next = deferred<Buffer | undefined>();
  ended = false;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  give(chunk: Buffer | undefined): void {
    this.#next.resolve(chunk);
  }

  async *stream(): AsyncGenerator<Buffer, void, void> {
    try {
      for (;;) {
        const chunk = await Promise.race([this.#next.promise, untilAborted(this.#signal)]);
        this.#next = deferred();
        if (chunk === undefined) return;
        yield chunk;
      }
    } finally {
      this.ended = true;
    }
  }
}

function watch(outer = new AbortController().signal) {
  const guard = new StallGuard(1000, outer);
  const tap = new Tap(guard.signal);
  return { guard, tap, chunks: guard.watch(tap.stream()) };
}

test('chunks pass, and each one starts the time anew', async () => {
  const { guard, tap, chunks } = watch();
  for (let count = 0; count < 3; count += 1) {
    const next = chunks.next();
    await vi.advanceTimersByTimeAsync(999);
    tap.give(Buffer.from([count]));
    expect(await next).toEqual({ done: false, value: Buffer.from([count]) });
  }
  expect([guard.stalled, guard.signal.aborted]).toEqual([false, false]);
});

test('silence for that long aborts the source, and the stall can be told', async () => {
  const { guard, chunks } = watch();
  const next = chunks.next();
  next.catch(() => {});
  await vi.advanceTimersByTimeAsync(999);
  expect(await isPending(next)).toBe(true);
  await vi.advanceTimersByTimeAsync(1);
  await expect(next).rejects.toThrow('no byte for 1000 ms');
  expect([guard.stalled, guard.signal.aborted]).toEqual([true, true]);
});

test('a reader who takes his time is no stall; the silence counts from when he asks', async () => {
  const { guard, tap, chunks } = watch();
  const first = chunks.next();
  tap.give(Buffer.from('a'));
  await first;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(guard.stalled).toBe(false);
  const next = chunks.next();
  next.catch(() => {});
  await vi.advanceTimersByTimeAsync(999);
  expect(guard.stalled).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(guard.stalled).toBe(true);
});

test('the outer signal aborts the source with its reason, and is no stall', async () => {
  const outer = new AbortController();
  const { guard, chunks } = watch(outer.signal);
  const next = chunks.next();
  const reason = new Error('shutting down');
  outer.abort(reason);
  await expect(next).rejects.toBe(reason);
  expect([guard.stalled, guard.signal.reason]).toEqual([false, reason]);
});

test('an outer signal that has aborted before is heard', () => {
  const reason = new Error('shutting down');
  expect(new StallGuard(1000, AbortSignal.abort(reason)).signal.reason).toBe(reason);
});

test('a consumer that leaves ends the source', async () => {
  const { tap, chunks } = watch();
  const next = chunks.next();
  tap.give(Buffer.from('a'));
  await next;
  await chunks.return();
  expect(tap.ended).toBe(true);
});

test('after close there is no timer and no ear at the outer signal any more', async () => {
  const outer = new AbortController();
  const { guard, tap, chunks } = watch(outer.signal);
  const next = chunks.next();
  tap.give(undefined);
  expect(await next).toEqual({ done: true, value: undefined });
  guard.close();
  guard.close();
  expect(vi.getTimerCount()).toBe(0);
  outer.abort();
  expect(guard.signal.aborted).toBe(false);
});

test('a transfer that is not wanted any more is aborted with the reason why', () => {
  const { guard } = watch();
  const reason = new Error('of another length');
  guard.abort(reason);
  expect([guard.signal.reason, guard.stalled]).toEqual([reason, false]);
});
