/** The retention of every hour in a running mirror: which tags go, what counts as a pull, and what the metrics say. */
import { expect, onTestFinished, test, vi } from 'vitest';
import { runCistern } from '../support/cistern-command.ts';
import { get } from '../support/client.ts';
import { hostedConfig, pushImage } from '../support/collection-soak.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { send } from '../support/upload-client.ts';

const dayMs = 24 * 3_600_000;
/** The first one comes so long after the start, the next ones each hour. */
const firstAfterMs = 5 * 60_000;

async function start(retention: readonly object[]) {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], shouldAdvanceTime: true });
  onTestFinished(() => void vi.useRealTimers());
  const clock = { aheadMs: 0 };
  const mirror = await startTestMirror({
    config: hostedConfig({ retention }),
    now: () => Date.now() + clock.aheadMs,
  });
  await mirror.settled();
  return { mirror, clock };
}

async function tagsOf({ url }: TestMirror, name: string): Promise<readonly string[]> {
  return JSON.parse((await get(url, `/v2/${name}/tags/list`)).body.toString()).tags;
}

test('a retention counts each tag that it removes, and HEAD keeps none of them: only a GET is a pull', async () => {
  const { mirror, clock } = await start([
    { repositories: ['team/app'], tags: ['*'], keep: { pulled_within: '7d' } },
  ]);
  for (const tag of ['asked', 'pulled', 'unused'])
    expect(await pushImage(mirror, 'team/app', buildImage({ layers: [tag] }), tag)).toBe(201);
  clock.aheadMs = 10 * dayMs;
  const manifest = (tag: string) => `/v2/team/app/manifests/${tag}`;
  // As dockerd pulls: HEAD, then GET. `asked` has the HEADs of a client that has the image already.
  for (let times = 0; times < 2; times += 1)
    for (const tag of ['asked', 'pulled'])
      expect((await send(mirror.url, 'HEAD', manifest(tag))).status).toBe(200);
  expect((await get(mirror.url, manifest('pulled'))).status).toBe(200);
  expect(await mirror.metric('cistern_gc_removed_total{kind="tag"}')).toBe(0);

  await vi.advanceTimersByTimeAsync(firstAfterMs);
  await expect.poll(() => tagsOf(mirror, 'team/app')).toEqual(['pulled']);
  expect(await mirror.metric('cistern_gc_removed_total{kind="tag"}')).toBe(2);
  expect((await runCistern(mirror.file, 'history', 'team/app:asked')).stdout).toContain('retention');
});
