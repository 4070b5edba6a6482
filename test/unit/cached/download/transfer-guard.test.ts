/** When a connection that is silent, or that only drips, is given up: by clocks that move only when told. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { TransferGuard } from '../../../../src/cached/download/transfer-guard.ts';
import { deferred } from '../../../support/gates.ts';
import { HandClock, isPending, untilAborted } from '../rig.ts';

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

const clock = new HandClock();

function watch(outer = new AbortController().signal) {
  const guard = new TransferGuard({ stallMs: 1000, minRate: 0 }, clock.now, outer);
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
  expect([guard.ended, guard.signal.aborted]).toEqual([undefined, false]);
});

test('silence for that long aborts the source, and the stall can be told', async () => {
  const { guard, chunks } = watch();
  const next = chunks.next();
  next.catch(() => {});
  await vi.advanceTimersByTimeAsync(999);
  expect(await isPending(next)).toBe(true);
  await vi.advanceTimersByTimeAsync(1);
  await expect(next).rejects.toThrow('no byte came for 1000 ms');
  expect([guard.ended?.cause, guard.signal.aborted]).toEqual(['stall', true]);
});

test('a reader who takes his time is no stall; the silence counts from when he asks', async () => {
  const { guard, tap, chunks } = watch();
  const first = chunks.next();
  tap.give(Buffer.from('a'));
  await first;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(guard.ended).toBeUndefined();
  const next = chunks.next();
  next.catch(() => {});
  await vi.advanceTimersByTimeAsync(999);
  expect(guard.ended).toBeUndefined();
  await vi.advanceTimersByTimeAsync(1);
  expect(guard.ended?.cause).toBe('stall');
});

test('the outer signal aborts the source with its reason, and is no stall', async () => {
  const outer = new AbortController();
  const { guard, chunks } = watch(outer.signal);
  const next = chunks.next();
  const reason = new Error('shutting down');
  outer.abort(reason);
  await expect(next).rejects.toBe(reason);
  expect([guard.ended, guard.signal.reason]).toEqual([undefined, reason]);
});

test('an outer signal that has aborted before is heard', () => {
  const reason = new Error('shutting down');
  expect(
    new TransferGuard({ stallMs: 1000, minRate: 0 }, clock.now, AbortSignal.abort(reason)).signal.reason,
  ).toBe(reason);
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
  expect([guard.signal.reason, guard.ended]).toEqual([reason, undefined]);
});

describe('the minimum rate', () => {
  /** Reads chunks of that many bytes, which come that many ms after they were asked for; how many came before it ended. */
  async function read(minRate: number, bytes: number, waitMs: number, count: number, readerMs = 0) {
    const time = new HandClock();
    async function* stream(): AsyncGenerator<Buffer, void, void> {
      for (let sent = 0; sent < count; sent += 1) {
        time.advance(waitMs);
        yield Buffer.alloc(bytes);
      }
    }
    const { signal } = new AbortController();
    const guard = new TransferGuard({ stallMs: 15_000, minRate }, time.now, signal);
    let came = 0;
    try {
      for await (const _chunk of guard.watch(stream())) {
        came += 1;
        time.advance(readerMs);
      }
    } catch {
      // `ended` says why
    }
    guard.close();
    return { came, ended: guard.ended };
  }

  test('a minute below it ends the connection, with all bytes that came', async () => {
    const { came, ended } = await read(1024, 1000, 1000, 500);
    expect(came).toBe(60);
    expect(ended).toEqual({ cause: 'slow', message: 'fewer than 1024 bytes a second came for a minute' });
  });

  test.each([
    ['a rate as asked', 1000, 1000, 1000, 0],
    ['none is asked', 0, 1, 10_000, 0],
    ['a reader who takes his time', 1024, 64, 0, 10_000],
  ])('%s ends nothing', async (_what, minRate, bytes, waitMs, readerMs) => {
    expect(await read(minRate, bytes, waitMs, 200, readerMs)).toEqual({ came: 200 });
  });

  test('a clock that jumps an hour is no hour of waiting', async () => {
    expect(await read(1024, 64 * 1024, 3_600_000, 3)).toEqual({ came: 3 });
  });

  test('each minute counts by itself', async () => {
    const time = new HandClock();
    async function* stream(): AsyncGenerator<Buffer, void, void> {
      for (let sent = 0; sent < 120; sent += 1) {
        time.advance(1000);
        yield Buffer.alloc(sent < 60 ? 1_000_000 : 10);
      }
    }
    const guard = new TransferGuard(
      { stallMs: 15_000, minRate: 1024 },
      time.now,
      new AbortController().signal,
    );
    let came = 0;
    const reading = async () => {
      for await (const _chunk of guard.watch(stream())) came += 1;
    };
    await expect(reading()).rejects.toThrow('fewer than 1024 bytes');
    guard.close();
    expect(came).toBe(120);
  });
});
