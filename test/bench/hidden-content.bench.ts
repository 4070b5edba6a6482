/**
 * How long a 404 takes for what is hidden and for what doesn't exist: medians of 50 tries, each of a tag that was not asked for before.
 * They cost the upstream the same questions, so they differ by at most 20 %.
 */
import { expect, test } from 'vitest';
import { get } from '../support/client.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { startFakeUpstream } from '../support/upstream.ts';
import { Table } from './report.ts';

const tries = 50;

test('hidden and missing content', async () => {
  const upstream = await startFakeUpstream({
    auth: { kind: 'basic', accounts: { u: { password: 'p' } } },
  });
  upstream.put('library/closed', buildImage(), 'latest');
  const mirror = await startTestMirror({ upstream, hub: { username: 'u', password: 'p' } });
  const times = { closed: [] as number[], nosuch: [] as number[] };
  for (let at = -tries; at < tries; at += 1) {
    for (const name of ['closed', 'nosuch'] as const) {
      const startedAt = performance.now();
      const { status } = await get(mirror.url, `/v2/library/${name}/manifests/tag${at + tries}`);
      if (at >= 0) times[name].push(performance.now() - startedAt); // the first ones warm up
      expect(status).toBe(404);
    }
  }
  const table = new Table('404 for a caller without rights, median of 50', { ms: 2 });
  table.add('a private repository', { ms: median(times.closed) });
  table.add('a missing repository', { ms: median(times.nosuch) });
  table.print();
  const [low = 0, high = 0] = [median(times.closed), median(times.nosuch)].sort((a, b) => a - b);
  expect(high / low).toBeLessThanOrEqual(1.2);
});

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
