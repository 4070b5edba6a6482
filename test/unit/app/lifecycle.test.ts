import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { Lifecycle, runUntilSignal } from '../../../src/app/lifecycle.ts';
import { createLogger } from '../../../src/log.ts';
import { deferred } from '../../support/gates.ts';

function collect() {
  const lines: Record<string, unknown>[] = [];
  const logger = createLogger({
    level: 'debug',
    format: 'json',
    write: line => lines.push(JSON.parse(line)),
  });
  return { lines, logger };
}

describe('Lifecycle', () => {
  it('closes in the reverse order of the start, one after the other, once', async () => {
    const events: string[] = [];
    const lifecycle = new Lifecycle(collect().logger);
    for (const name of ['store', 'lru', 'listener']) {
      await lifecycle.start(
        name,
        () => events.push(`start ${name}`),
        async (_, { drainMs }) => {
          events.push(`closing ${name} ${drainMs}`);
          await Promise.resolve();
          events.push(`closed ${name}`);
        },
      );
    }
    expect(lifecycle.closing).toBe(false);
    const first = lifecycle.close({ drainMs: 5 });
    expect(lifecycle.closing).toBe(true);
    await Promise.all([first, lifecycle.close({ drainMs: 9 })]);
    expect(events.slice(3)).toEqual([
      'closing listener 5',
      'closed listener',
      'closing lru 5',
      'closed lru',
      'closing store 5',
      'closed store',
    ]);
  });

  it('closes the others when one does not close, and says which', async () => {
    const { lines, logger } = collect();
    const lifecycle = new Lifecycle(logger);
    const closed: string[] = [];
    await lifecycle.start(
      'store',
      () => 1,
      () => void closed.push('store'),
    );
    await lifecycle.start(
      'lru',
      () => 2,
      () => Promise.reject(new Error('stuck')),
    );
    await lifecycle.close({ drainMs: 0 });
    expect(closed).toEqual(['store']);
    expect(lines).toMatchObject([{ level: 'error', part: 'lru', error: { message: 'stuck' } }]);
  });

  it('closes what had started when a start fails', async () => {
    const lifecycle = new Lifecycle(collect().logger);
    const closed: number[] = [];
    await lifecycle.start(
      'store',
      () => 7,
      part => void closed.push(part),
    );
    const failing = lifecycle.start(
      'listener',
      () => Promise.reject(new Error('EADDRINUSE')),
      () => {},
    );
    await expect(failing).rejects.toThrow('EADDRINUSE');
    expect(closed).toEqual([7]);
  });

  it('closes a part that was still starting when the end came', async () => {
    const lifecycle = new Lifecycle(collect().logger);
    const starting = deferred<string>();
    const closed: string[] = [];
    const started = lifecycle.start(
      'slow',
      () => starting.promise,
      part => void closed.push(part),
    );
    await lifecycle.close({ drainMs: 0 });
    starting.resolve('slow part');
    await expect(started).rejects.toThrow('stopped while slow was starting');
    expect(closed).toEqual(['slow part']);
  });
});

describe('runUntilSignal', () => {
  function run(close: (options: { drainMs: number }) => Promise<void>, now = () => 0) {
    const { lines, logger } = collect();
    const process = new EventEmitter();
    const left = deferred<number>();
    const codes: number[] = [];
    const handlers = runUntilSignal({
      process,
      logger,
      close,
      drainMs: 30_000,
      now,
      exit: code => {
        codes.push(code);
        left.resolve(code);
      },
    });
    return { process, lines, left: left.promise, codes, handlers };
  }

  it.each(['SIGTERM', 'SIGINT'])('%s drains and leaves with 0', async signal => {
    const drains: number[] = [];
    const { process, left, codes } = run(async ({ drainMs }) => void drains.push(drainMs));
    process.emit(signal, signal);
    expect(await left).toBe(0);
    expect([drains, codes]).toEqual([[30_000], [0]]);
  });

  it('leaves at once with 1 at the second signal', async () => {
    const { process, left } = run(() => new Promise(() => {}));
    process.emit('SIGTERM', 'SIGTERM');
    process.emit('SIGINT', 'SIGINT');
    expect(await left).toBe(1);
  });

  it('takes the same signal within half a second for one, and later for a second', async () => {
    let clock = 1000;
    const { process, left, lines } = run(
      () => new Promise(() => {}),
      () => clock,
    );
    process.emit('SIGINT', 'SIGINT');
    clock += 499;
    process.emit('SIGINT', 'SIGINT');
    expect(lines.map(line => line['msg'])).toEqual(['draining']);
    clock += 1;
    process.emit('SIGINT', 'SIGINT');
    expect(await left).toBe(1);
  });

  it('leaves with 1 when closing fails', async () => {
    const { process, left } = run(() => Promise.reject(new Error('no')));
    process.emit('SIGTERM', 'SIGTERM');
    expect(await left).toBe(1);
  });

  it.each(['uncaughtException', 'unhandledRejection'])('logs %s and leaves with 1', async fault => {
    const { process, left, lines } = run(async () => {});
    process.emit(fault, new Error('not handled'));
    expect(await left).toBe(1);
    expect(lines.at(-1)).toMatchObject({ level: 'error', error: { message: 'not handled' } });
  });

  it('takes its handlers away again', () => {
    const { process, handlers } = run(async () => {});
    expect(process.listenerCount('SIGTERM')).toBe(1);
    handlers.stop();
    expect(process.eventNames()).toEqual([]);
  });
});
