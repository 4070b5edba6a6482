/** Pulls are noted once an hour, in memory first, and written together: no pull waits for the disk. */
import { expect, test } from 'vitest';
import type { HostedChange } from '../../../src/hosted/log/hosted-log.ts';
import { PullTimes } from '../../../src/hosted/pull-times.ts';
import type { Repository } from '../../../src/oci/name.ts';
import { app, digestNo } from '../../support/hosted-log.ts';
import { MemoryHostedLog } from '../../support/memory-hosted-log.ts';
import { Recorder } from '../../support/recorder.ts';

const hour = 3_600_000;

function open(nowMs: number, commit?: () => Promise<never>) {
  const log = new MemoryHostedLog();
  const runs: (() => void)[] = [];
  const { logger } = new Recorder();
  const timers = {
    after: (_delayMs: number, run: () => void) => {
      runs.push(run);
      return () => {};
    },
  };
  const committing = {
    commit: (name: Repository, changes: readonly HostedChange[]) => commit?.() ?? log.commit(name, changes),
  };
  return { log, runs, times: new PullTimes({ log: committing, logger, timers, now: () => nowMs }) };
}

test('many pulls of an hour are one change each, all of a repository one line, and one timer', async () => {
  const { log, runs, times } = open(10 * hour + 5);
  for (let pull = 0; pull < 1000; pull += 1) times.pulled(app, digestNo(pull % 2), undefined);
  times.pulled(app, digestNo(3), 10 * hour);
  times.pulled(app, digestNo(4), 9 * hour);
  expect([log.commits, runs.length]).toEqual([[], 1]);
  await times.flush();
  const changes = [0, 1, 4].map(n => ({ type: 'pulled', digest: digestNo(n), at: 10 * hour }));
  expect(log.commits).toEqual([{ name: app, changes }]);
  await times.flush();
  expect(log.commits).toHaveLength(1);
});

test('notes are bounded, and a log that cannot be written costs no more than them', async () => {
  const { log, times } = open(10 * hour);
  for (let pull = 0; pull < 12_000; pull += 1) times.pulled(app, digestNo(pull), undefined);
  await times.flush();
  expect(log.commits[0]?.changes).toHaveLength(10_000);
  const broken = open(10 * hour, () => Promise.reject(new Error('the disk is full')));
  broken.times.pulled(app, digestNo(1), undefined);
  await broken.times.flush();
});
