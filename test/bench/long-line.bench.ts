/**
 * An upstream at the other end of a long line: 40 ms each way, 25 MB/s a connection. One layer of 100 MB, and three layers of different
 * sizes at once. And over the loopback, what the first byte of a cold blob takes longer than from the upstream itself.
 */
import { test } from 'vitest';
import { get } from '../support/client.ts';
import { type BlobContent, patternBlob } from '../support/content.ts';
import { type BuiltImage, buildImage } from '../support/images.ts';
import { FakeUpstream, startFakeUpstream } from '../support/upstream.ts';
import { download } from './load.ts';
import { roundsOf, Table } from './report.ts';
import { available, cistern, debianRegistry, distributionV3 } from './servers/registries.ts';
import { startRelay } from './servers/relay.ts';
import { cpuSeconds } from './usage.ts';

const line = { delayMs: 40, bytesPerSecond: 25_000_000 };
const layer = patternBlob('bench: a layer far away', 100_000_000);
const layers = [60, 20, 5, 1].map(megabytes => patternBlob(`bench: far ${megabytes}`, megabytes * 1_000_000));
const images: readonly (readonly [string, readonly BlobContent[]])[] = [
  ['a layer of 100 MB', [layer]],
  ['four layers, 86 MB', layers],
];

test('a long line', async () => {
  const table = new Table('Over 80 ms, 25 MB/s a connection', {
    seconds: 2,
    'CPU s': 2,
    'upstream bytes': 2,
  });
  table.note('A relay of the bench with a window that fits the line; nothing is lost on it.');
  const kinds = available([cistern, debianRegistry, distributionV3], why => table.note(why));
  for (let round = 0; round < roundsOf(3); round += 1) {
    for (const [what, blobs] of images) {
      const image = buildImage({ layers: blobs });
      for (const { name, start } of kinds) {
        const upstream = await FakeUpstream.start();
        upstream.put('library/far', image, 'latest');
        const server = await start(await startRelay(upstream.url, line));
        await pullManifest(server.url, image);
        const before = cpuSeconds(server.pids);
        const startedMs = performance.now();
        await Promise.all(blobs.map(blob => pull(server.url, blob)));
        const seconds = (performance.now() - startedMs) / 1000;
        const bytes = blobs.reduce((sum, { size }) => sum + size, 0);
        table.add(`${name}, ${what}`, {
          seconds,
          'CPU s': cpuSeconds(server.pids) - before,
          'upstream bytes': upstream.contentBytes('blob') / bytes,
        });
        await server.stop();
        await upstream.close();
      }
    }
  }
  table.print();
});

test('the first byte', async () => {
  const upstream = await startFakeUpstream();
  const server = await cistern.start(upstream.url);
  const table = new Table('The first byte of a cold blob of 4 MB', { ms: 2 });
  const tries = roundsOf(60);
  for (let at = -5; at < tries; at += 1) {
    const blob = patternBlob(`bench: first byte ${at}`, 4_000_000);
    upstream.putBlob('library/first', blob.digest, blob);
    const [direct] = (await pull(upstream.url, blob, 'library/first')).firstMs;
    const [through] = (await pull(server.url, blob, 'library/first')).firstMs;
    if (at < 0) continue; // the first ones warm up
    table.add('direct', { ms: direct ?? Number.NaN });
    table.add('Cistern, cold', { ms: through ?? Number.NaN });
  }
  table.print();
});

/** As every client does it before the layers: a server knows then how large they are, and how far its upstream is. */
async function pullManifest(url: string, { config, mediaType }: BuiltImage): Promise<void> {
  for (const what of ['manifests/latest', `blobs/${config?.descriptor.digest}`]) {
    const path = `/v2/library/far/${what}`;
    const answer = await get(url, path, { headers: { Accept: mediaType } });
    if (answer.status !== 200)
      throw new Error(`${path} was answered ${answer.status}: ${answer.body.toString().slice(0, 300)}`);
  }
}

function pull(url: string, { digest, size }: BlobContent, repository = 'library/far') {
  return download(`${url}/v2/${repository}/blobs/${digest}`, { clients: 1, times: 1, bytes: size });
}
