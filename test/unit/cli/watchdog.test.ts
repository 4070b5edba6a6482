/** Beats for systemd: as often as it asks, and none while the loop is blocked. A program of the test's own stands for systemd-notify. */
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { startWatchdog } from '../../../src/cli/watchdog.ts';
import { Recorder } from '../../support/recorder.ts';
import { tempDir } from '../../support/temp-dir.ts';

async function start(more: NodeJS.ProcessEnv) {
  const folder = await tempDir();
  const file = join(folder, 'beats');
  await writeFile(file, '');
  await writeFile(join(folder, 'systemd-notify'), `#!/bin/sh\necho "$@" >> ${file}\n`);
  await chmod(join(folder, 'systemd-notify'), 0o755);
  const recorder = new Recorder();
  const env = { PATH: `${folder}:${process.env['PATH']}`, ...more };
  onTestFinished(startWatchdog({ env, pid: process.pid, logger: recorder.logger }));
  return { recorder, beats: async () => (await readFile(file, 'utf8')).split('\n').slice(0, -1) };
}

test('beats come from a timer of the main loop, so that none comes while it is blocked', async () => {
  const { beats } = await start({ WATCHDOG_USEC: '100000' });
  await expect.poll(async () => (await beats()).length).toBeGreaterThan(2);
  expect(new Set(await beats())).toEqual(new Set(['WATCHDOG=1']));
  await delay(20);
  const until = performance.now() + 600;
  const before = (await beats()).length;
  while (performance.now() < until) {
    // the loop is blocked
  }
  expect((await beats()).length - before).toBeLessThanOrEqual(2);
});

test('nothing is started without WATCHDOG_USEC, or when it is meant for another process', async () => {
  const none = await start({});
  const other = await start({ WATCHDOG_USEC: '1000', WATCHDOG_PID: '1' });
  await delay(100);
  expect([await none.beats(), await other.beats()]).toEqual([[], []]);
});

test('a machine without systemd-notify gets one warning', async () => {
  const { recorder } = await start({ WATCHDOG_USEC: '10000', PATH: '/nowhere' });
  await expect.poll(() => recorder.logged.length).toBe(1);
  await delay(60);
  expect(recorder.logged).toHaveLength(1);
});
