/**
 * skopeo copies a real image of eight layers, of which one has nearly 100 MB: straight from the registry that has it,
 * and through a mirror that has nothing yet. The registry is on this machine, so that this shows what a mirror adds and
 * never what it saves.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Distribution } from '../support/real/distribution.ts';
import { openImageSet } from '../support/real/image-set.ts';
import { projectFolder } from '../support/real/mirror.ts';
import { host } from '../support/real/place.ts';
import { openSeededStorage } from '../support/real/seeded-storage.ts';
import { Skopeo } from '../support/real/skopeo.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';
import { roundsOf, Table } from './report.ts';
import { available, registries } from './servers/registries.ts';
import { startRelay } from './servers/relay.ts';

const rounds = roundsOf(5);
/** 1 Gbit/s. */
const slowBytesPerSecond = 125_000_000;

requires(
  'root',
  'docker-registry',
  'skopeo',
  'debian-packages',
)('real images', () => {
  test('a cold pull', async () => {
    const set = await openImageSet(join(projectFolder, '.lab'));
    const storage = await openSeededStorage(set);
    const folder = await tempDir();
    const upstream = await Distribution.start({ folder: join(folder, 'upstream'), storage, place: host });
    const image = set.images.app;
    const table = new Table('A cold pull of eight layers by skopeo', { seconds: 2 });
    const kinds = available(registries, why => table.note(why));
    const slow = await startRelay(upstream.url, { bytesPerSecond: slowBytesPerSecond });
    table.note('1 Gbit/s: of each connection to the upstream, through a relay of the bench.');

    const pull = async (name: string, url: string, row: string): Promise<void> => {
      const skopeo = await Skopeo.create({ folder: join(folder, name), place: host, mirror: url });
      const startedMs = performance.now();
      const { code, stderr } = await skopeo.pull(image);
      table.add(row, { seconds: (performance.now() - startedMs) / 1000 });
      expect(code, stderr).toBe(0);
      await skopeo.close();
    };
    try {
      for (let round = 0; round < rounds; round += 1) {
        await pull(`direct-${round}`, upstream.url, 'direct');
        for (const { name, start } of kinds) {
          const mirror = await start(upstream.url);
          await pull(`${name}-cold-${round}`, mirror.url, `${name}, cold`);
          await pull(`${name}-hot-${round}`, mirror.url, `${name}, hot`);
          await mirror.stop();
        }
        await pull(`slow-direct-${round}`, slow, 'direct, 1 Gbit/s');
        for (const { name, start } of kinds) {
          const mirror = await start(slow);
          await pull(`${name}-slow-${round}`, mirror.url, `${name}, cold, 1 Gbit/s`);
          await mirror.stop();
        }
      }
    } finally {
      await upstream.stop();
    }
    table.print();
  });
});
