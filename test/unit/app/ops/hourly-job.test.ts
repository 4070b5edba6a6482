/** When the work of the private registry runs by itself, and that a failed run is told and not the last. */
import { expect, test } from 'vitest';
import { HourlyJob } from '../../../../src/app/ops/hourly-job.ts';
import { RegistryError } from '../../../../src/oci/error.ts';
import { Recorder } from '../../../support/recorder.ts';

test('it runs after its first delay, then every hour; one that fails is logged; none after its end', async () => {
  const recorder = new Recorder();
  const delays: number[] = [];
  let due: (() => void) | undefined;
  let [runs, isReadOnly] = [0, false];
  const hourly = new HourlyJob({
    firstAfterMs: 300_000,
    run: async () => {
      if (isReadOnly) throw new RegistryError('UNAVAILABLE', { message: 'read-only for now' });
      runs += 1;
    },
    failureMessage: 'retention was not applied',
    logger: recorder.logger,
    timers: {
      after: (delayMs, work) => {
        delays.push(delayMs);
        due = work;
        return () => {
          due = undefined;
        };
      },
    },
  });
  for (const readOnly of [false, true, false]) {
    isReadOnly = readOnly;
    const before = delays.length;
    due?.();
    await expect.poll(() => delays.length).toBe(before + 1);
  }
  expect(delays).toEqual([300_000, 3_600_000, 3_600_000, 3_600_000]);
  expect(runs).toBe(2);
  expect(recorder.logged).toEqual([expect.stringContaining('retention was not applied')]);
  await hourly.close();
  expect(due).toBeUndefined();
});
