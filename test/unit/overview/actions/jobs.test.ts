import { expect, test } from 'vitest';
import type { JobAnswer } from '../../../../src/http/api/schema/actions.ts';
import { RegistryError } from '../../../../src/oci/error.ts';
import { failure, type JobProgress, Jobs } from '../../../../src/overview/actions/jobs.ts';
import { deferred } from '../../../support/gates.ts';
import { Recorder } from '../../../support/recorder.ts';

const job = { action: 'pin', images: ['a'], dryRun: false, user: 'alice' } as const;
const done = { image: 'a', summary: 'pinned', freedBytes: null, fetchedBytes: null, tags: [], error: null };

function rig() {
  const clock = { ms: 1_000_000 };
  const { logger } = new Recorder();
  return { clock, jobs: new Jobs({ logger, now: () => clock.ms }) };
}

test('states and results, for listeners of that user alone; progress at most once a second', async () => {
  const { clock, jobs } = rig();
  const heard: JobAnswer[] = [];
  const others: JobAnswer[] = [];
  jobs.listen('alice', one => heard.push(one));
  jobs.listen('bob', one => others.push(one));
  jobs.listen(undefined, one => others.push(one));
  const id = jobs.begin(job, async progress => {
    for (let at = 0; at < 5; at += 1) progress.at(at, 5, 'images');
    clock.ms += 1000;
    progress.at(4, 5, 'images');
    progress.add(done);
  });
  await expect.poll(() => jobs.get(id)?.state).toBe('done');
  expect(heard.map(({ state, progress }) => [state, progress.done])).toEqual([
    ['running', 0],
    ['running', 4],
    ['done', 4],
  ]);
  expect([others, jobs.get(id)?.results]).toEqual([[], [done]]);
});

test('a failed part fails the job, and so does its work; what is unexpected is not told', async () => {
  const { jobs } = rig();
  const part = jobs.begin(job, async progress => {
    progress.add(failure('a', new RegistryError('DENIED', { message: 'pinned' })));
    progress.add(done);
  });
  const whole = jobs.begin(job, () => Promise.reject(new TypeError('secret path')));
  await expect.poll(() => [jobs.get(part)?.state, jobs.get(whole)?.state]).toEqual(['failed', 'failed']);
  expect(jobs.get(part)?.results.map(({ error }) => error?.code)).toEqual(['DENIED', undefined]);
  expect(JSON.stringify(jobs.get(whole))).not.toContain('secret');
});

test('four run at once, the others wait; the end of the owner ends them all', async () => {
  const { jobs } = rig();
  const [started, ended] = [new Set<number>(), deferred()];
  const ids = Array.from({ length: 6 }, (_, at) =>
    jobs.begin(job, async (_progress: JobProgress, signal) => {
      started.add(at);
      signal.addEventListener('abort', () => ended.reject(signal.reason));
      await ended.promise;
    }),
  );
  ended.promise.catch(() => {});
  await expect.poll(() => started.size).toBe(4);
  expect(ids.slice(4).map(id => jobs.get(id)?.state)).toEqual(['queued', 'queued']);
  await jobs.close();
  expect(ids.map(id => jobs.get(id)?.state)).toEqual(Array(6).fill('failed'));
  expect(started.size).toBe(4);
});

test('a job is forgotten after a day', () => {
  const { clock, jobs } = rig();
  const id = jobs.begin(job, () => new Promise(() => {}));
  clock.ms += 24 * 3_600_000 + 1;
  expect(jobs.get(id)).toBeUndefined();
});
