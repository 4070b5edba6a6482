/** The clock of the machine is set back by an hour: nothing is believed for an hour longer because of that. */
import { expect, test } from 'vitest';
import { DiskWatch } from '../../src/capacity/ledger.ts';
import { get } from '../support/client.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { Recorder } from '../support/recorder.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const hourMs = 3_600_000;

test('a missed signature is asked for again, and a tag is checked', async () => {
  const upstream = await startFakeUpstream();
  const [image, other] = [buildImage({ layers: ['a'] }), buildImage({ layers: ['b'] })];
  upstream.put('library/alpine', image, 'latest');
  const clock = { ms: 1_800_000_000_000 };
  const mirror = await startTestMirror({ upstream, now: () => clock.ms });
  const sign = `/v2/library/alpine/manifests/${image.digest.replace(':', '-')}.sig`;
  expect((await get(mirror.url, sign)).status).toBe(404);
  expect((await get(mirror.url, '/v2/library/alpine/manifests/latest')).sha256).toBe(image.digest);
  upstream.put('library/alpine', other, `${image.digest.replace(':', '-')}.sig`);
  upstream.move('library/alpine', 'latest', other);
  expect((await get(mirror.url, sign)).status).toBe(404);
  clock.ms -= hourMs;
  expect((await get(mirror.url, sign)).sha256).toBe(other.digest);
  expect((await get(mirror.url, '/v2/library/alpine/manifests/latest')).sha256).toBe(other.digest);
});

test('the disk is looked at', async () => {
  const clock = { ms: 1_800_000_000_000 };
  const disk = { free: 1000, total: 2000 };
  const watch = new DiskWatch({
    freeBytes: () => Promise.resolve({ ...disk }),
    onDiskBytes: () => 0,
    logger: new Recorder().logger,
    now: () => clock.ms,
  });
  await watch.refresh(0);
  for (const maxAgeMs of [0, 1000]) {
    clock.ms -= hourMs;
    disk.free -= 100;
    await watch.refresh(maxAgeMs);
    expect(watch.sample?.free).toBe(disk.free);
  }
});
