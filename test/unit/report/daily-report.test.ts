/** When the counters are read and written, and what happens with a disk that takes nothing. */
import { expect, test } from 'vitest';
import { DailyReport, type ReportLines } from '../../../src/report/daily-report.ts';
import { dayMs } from '../../../src/report/usage-history.ts';
import type { UsageReading, UsageSums } from '../../../src/telemetry/usage.ts';
import { Recorder } from '../../support/recorder.ts';
import { TestClock } from '../../support/test-clock.ts';

const none: UsageSums = { pulls: 0, counted: 0, requests: 0, hits: 0, servedBytes: 0, fetchedBytes: 0 };

class Lines implements ReportLines {
  lines: unknown[] = [];
  writes = 0;
  isBloated = false;
  isFull = false;

  async read(): Promise<readonly unknown[]> {
    return this.lines;
  }

  async append(lines: Iterable<unknown>): Promise<void> {
    if (this.isFull) throw new Error('no space left on device');
    this.writes += 1;
    this.lines.push(...JSON.parse(JSON.stringify([...lines])));
  }

  async rewrite(lines: Iterable<unknown>): Promise<void> {
    if (this.isFull) throw new Error('no space left on device');
    this.lines = [];
    await this.append(lines);
  }
}

function rig(file = new Lines()) {
  const clock = new TestClock(20_000 * dayMs);
  const recorder = new Recorder();
  const counted = { pulls: 0 };
  const source = {
    readUsage: async (): Promise<UsageReading> => ({
      sums: new Map([['docker.io', { ...none, ...counted }]]),
      notes: { pulled: [], blobs: [], failed: [] },
    }),
  };
  const open = () =>
    DailyReport.open({ file, source, logger: recorder.logger, timers: clock, now: clock.now });
  return { clock, counted, file, open, recorder };
}

const pullsOf = async (report: DailyReport) => (await report.read(0)).upstreams.get('docker.io')?.pulls;

test('once a minute what has grown is appended, and nothing where nothing has', async () => {
  const { clock, counted, file, open } = rig();
  const report = await open();
  counted.pulls = 3;
  await clock.advance(59_000);
  expect(file.lines).toEqual([]);
  await clock.advance(1000);
  await expect.poll(() => file.writes).toBe(1);
  await expect.poll(() => clock.waiting).toBe(1);
  await clock.advance(60_000);
  counted.pulls = 4;
  await expect.poll(() => clock.waiting).toBe(1);
  await clock.advance(60_000);
  await expect.poll(() => file.writes).toBe(2);
  counted.pulls = 5;
  await report.close();
  expect(clock.waiting).toBe(0);
  expect(file.writes).toBe(3);
  const again = rig(file);
  expect(await pullsOf(await again.open())).toBe(5); // its counters begin at 0
});

test('a full disk is told once and loses nothing: all of it is written when there is room', async () => {
  const { counted, file, open, recorder } = rig();
  const report = await open();
  file.isFull = true;
  for (const pulls of [1, 2, 3]) {
    counted.pulls = pulls;
    expect(await pullsOf(report)).toBe(pulls);
  }
  expect(recorder.logged).toHaveLength(1);
  file.isFull = false;
  expect(await pullsOf(report)).toBe(3);
  await report.close();
  expect(await pullsOf(await rig(file).open())).toBe(3);
});

test('a file of outdated lines is written anew', async () => {
  const { counted, file, open } = rig();
  const report = await open();
  for (let pulls = 1; pulls <= 5; pulls += 1) {
    counted.pulls = pulls;
    await report.read(0);
  }
  expect(file.lines).toHaveLength(5);
  file.isBloated = true;
  await report.read(0);
  expect(file.lines).toEqual([
    expect.objectContaining({ type: 'hour', sums: expect.objectContaining({ pulls: 5 }) }),
  ]);
});

test('a short time is counted by the hour, a long one by the day of UTC', async () => {
  const { clock, counted, open } = rig();
  const report = await open();
  for (let pulls = 1; pulls <= 3; pulls += 1) {
    counted.pulls = pulls;
    await report.read(0);
    await clock.advance(3_600_000);
  }
  const nowMs = clock.now();
  const short = await report.read(nowMs - 1.5 * 3_600_000);
  expect(short.upstreams.get('docker.io')?.pulls).toBe(2);
  const long = await report.read(nowMs - 3 * dayMs);
  expect(long.sinceMs % dayMs).toBe(0);
  expect(long.upstreams.get('docker.io')?.pulls).toBe(3);
  expect(long.hours).toHaveLength(3);
});
