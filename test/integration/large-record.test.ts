/** A repository with very many links: reading its record, and writing it anew, leaves others their turn. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { formatChecksummedLine } from '../../src/store/disk-files.ts';
import { StoreLayout } from '../../src/store/layout.ts';
import { Records } from '../../src/store/records/records.ts';
import { Recorder } from '../support/recorder.ts';
import { tempDir } from '../support/temp-dir.ts';

const links = 60_000;

/** In microseconds of this process: what other processes do meanwhile is no turn of ours. */
function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** The longest time without a turn for others, as a share of all that `work` took. */
async function longestTurn(work: () => Promise<void>): Promise<number> {
  let longest = 0;
  let last = cpuTime();
  let immediate = setImmediate(function look() {
    longest = Math.max(longest, cpuTime() - last);
    last = cpuTime();
    immediate = setImmediate(look);
  });
  const began = cpuTime();
  await work();
  longest = Math.max(longest, cpuTime() - last);
  clearImmediate(immediate);
  return longest / (cpuTime() - began);
}

test('a record is read and rewritten in slices, and nothing set meanwhile is lost', async () => {
  const layout = await StoreLayout.open(await tempDir());
  const path = layout.recordPath('docker.io/library/large');
  const digests = Array.from({ length: links + 2 }, (_, n) => digestOf(Buffer.from(`${n}`)));
  const lines = digests.slice(0, links).map(digest => formatChecksummedLine({ type: 'link', digest }));
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, lines.join(''));
  const { observer, logger, events } = new Recorder();
  const open = () => new Records({ layout, observer, logger }).open('docker.io/library/large');

  const record = await open();
  expect([...record.links()]).toHaveLength(links);
  const [first, last, later] = [digests[0], digests[links], digests[links + 1]];
  if (first === undefined || last === undefined || later === undefined) throw new Error('expected digests');
  record.link(last); // from here on it is mostly waste, as far as is known: it is written anew
  const written = record.flush();
  while (!(await readFile(path, 'utf8')).includes(last)) await new Promise(resolve => setImmediate(resolve));
  record.link(later);
  record.unlink(first);
  await written;
  const again = [...(await open()).links()];
  expect(again).toHaveLength(links + 1);
  expect(again.filter(digest => [first, last, later].includes(digest))).toEqual([last, later]);
  expect(events).toEqual([]);

  expect(await longestTurn(async () => void (await open()))).toBeLessThan(0.4);
  const waste = await open();
  expect(
    await longestTurn(() => {
      waste.link(first);
      return waste.flush();
    }),
  ).toBeLessThan(0.4);
});
