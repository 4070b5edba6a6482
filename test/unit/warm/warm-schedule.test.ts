/** When entries run: every so often from their start, at a time of day, never twice at once; and when the schedule changes. */
import { expect, test } from 'vitest';
import type { WarmRun } from '../../../src/warm/warm-run.ts';
import { type WarmEntry, WarmSchedule } from '../../../src/warm/warm-schedule.ts';
import { Recorder } from '../../support/recorder.ts';
import { TestClock } from '../../support/test-clock.ts';

const hourMs = 3_600_000;

function rig() {
  const clock = new TestClock(new Date(2026, 10, 27, 1, 30).getTime());
  const startMs = clock.now();
  const starts: [string, number][] = [];
  const ends: (() => void)[] = [];
  const schedule = new WarmSchedule({
    timers: clock,
    now: clock.now,
    logger: new Recorder().logger,
    start: (_entry, source) => {
      starts.push([source, (clock.now() - startMs) / hourMs]);
      const ended = new Promise<void>(resolve => ends.push(resolve));
      return { ended, stop: async () => ends.at(-1)?.() } as unknown as WarmRun;
    },
  });
  const end = async () => {
    for (const resolve of ends.splice(0)) resolve();
    await clock.advance(0);
  };
  return { clock, schedule, starts, end };
}

const entry = (more: Partial<WarmEntry>): WarmEntry => ({ images: ['app'], platforms: [], ...more });

test('every: at the start, then counted from each start; a run that takes longer is followed at once', async () => {
  const { clock, schedule, starts, end } = rig();
  await schedule.apply([entry({ everyMs: 2 * hourMs })]);
  await clock.advance(0);
  expect(starts).toEqual([['warm[0]', 0]]);
  expect(schedule.report()).toEqual([{ source: 'warm[0]', nextAt: null }]);
  await clock.advance(hourMs);
  await end();
  expect(schedule.report()).toEqual([
    { source: 'warm[0]', nextAt: new Date(2026, 10, 27, 3, 30).toISOString() },
  ]);
  await clock.advance(hourMs);
  expect(starts).toHaveLength(2);
  await clock.advance(5 * hourMs);
  expect(starts).toHaveLength(2);
  await end();
  expect(starts.map(([, hour]) => hour)).toEqual([0, 2, 7]);
  await schedule.close();
  expect(clock.waiting).toBe(0);
});

test('at: the next such time of day, each day once', async () => {
  const { clock, schedule, starts, end } = rig();
  await schedule.apply([entry({ at: 180 }), entry({ at: 60 })]);
  await clock.advance(hourMs);
  expect(starts).toEqual([]);
  for (let day = 0; day < 2; day += 1) {
    await clock.advance(24 * hourMs);
    await end();
  }
  expect(starts).toEqual([
    ['warm[0]', 1.5],
    ['warm[1]', 23.5],
    ['warm[0]', 25.5],
    ['warm[1]', 47.5],
  ]);
  await schedule.close();
});

test('other entries take the place of the old ones, whose runs are stopped', async () => {
  const { clock, schedule, starts } = rig();
  await schedule.apply([entry({ everyMs: hourMs })]);
  await clock.advance(0);
  await schedule.apply([]);
  expect(schedule.report()).toEqual([]);
  await clock.advance(10 * hourMs);
  expect(starts).toHaveLength(1);
  expect(clock.waiting).toBe(0);
});
