/** Decisions over a repository that others change all the time. */
import { expect, test } from 'vitest';
import { commitDecided } from '../../../src/hosted/commit.ts';
import { app, digestNo, HostedLogRig, link, unlink } from '../../support/hosted-log.ts';

const { signal } = new AbortController();

test('after 4 conflicts others wait: the 5th decision is the last, however many commit', async () => {
  const { log } = await (await HostedLogRig.create()).start();
  await log.commit(app, [link(1)]);
  let decisions = 0;
  const rivals: Promise<unknown>[] = [];
  const deciding = commitDecided(
    log,
    app,
    async () => {
      decisions += 1;
      rivals.push(log.commit(app, [link(100 + decisions)])); // waits for this one at last
      await new Promise(setImmediate);
      return [unlink(1)];
    },
    signal,
  );
  await deciding;
  await Promise.all(rivals);
  expect([decisions, log.peek(app)?.link(digestNo(1))]).toEqual([5, undefined]);
  expect(Array.from(log.peek(app)?.links() ?? [])).toHaveLength(5);
});

test('a decision that throws, or a client that has left, gives the turn back', async () => {
  const { log } = await (await HostedLogRig.create()).start();
  const { generation } = await log.commit(app, [link(1)]);
  const leaving = new AbortController();
  let decisions = 0;
  const deciding = commitDecided(
    log,
    app,
    () => {
      decisions += 1;
      if (decisions === 5) throw new Error('no');
      void log.commit(app, [link(decisions)]);
      return [unlink(1)];
    },
    leaving.signal,
  );
  await expect(deciding).rejects.toThrow('no');
  leaving.abort(new Error('the client has left'));
  await expect(commitDecided(log, app, () => [unlink(1)], leaving.signal)).rejects.toThrow('has left');
  expect((await log.commit(app, [link(9)])).generation).toBe(generation + 5);
});
