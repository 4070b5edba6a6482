/**
 * `npm run trace`: which files and functions of `src` run on each of the five trips. A built mirror runs under V8's precise
 * coverage, whose counters are reset after the start has settled and before each trip. `dist` mirrors `src` file by file, so a
 * script of `dist` is named as its source. With `TRACE_FUNCTIONS=1` the functions are printed too.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'vitest';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { startFakeUpstream } from '../support/upstream.ts';
import { startTracedMirror, type Trip } from './traced-mirror.ts';

const coldBytes = 8 * 1024 * 1024;
/** What runs in the background after an answer: the commit, the journal, the index. */
const settleMs = 2500;

test('the five trips', async () => {
  const image = buildImage({ layers: [patternBlob('first', coldBytes), patternBlob('second', coldBytes)] });
  const other = buildImage({ layers: ['another layer'] });
  const upstream = await startFakeUpstream();
  upstream.put('library/alpine', image, 'latest');
  upstream.put('library/busybox', other, 'latest');
  const [first, second] = image.layers.map(layer => `/v2/library/alpine/blobs/${layer.descriptor.digest}`);
  const manifest = '/v2/library/alpine/manifests/latest';

  const mirror = await startTracedMirror(upstream.url, { max_size: 12 * 1024 * 1024 });
  // A second request of one client within a minute is taken for bad luck with the first, and checks the file: each trip has its own.
  let lastClient = 1;
  const trip = async (path: string): Promise<Trip> => {
    await mirror.reset();
    lastClient += 1;
    const { status } = await get(mirror.url, path, { from: `127.0.0.${lastClient}` });
    if (status !== 200) throw new Error(`GET ${path} was answered with ${status}`);
    await delay(settleMs);
    return mirror.read();
  };
  await get(mirror.url, '/v2/library/busybox/manifests/latest'); // the first request of a process loads code
  await delay(settleMs);

  const trips: Readonly<Record<string, Trip>> = {
    'cold manifest': await trip(manifest),
    'hot manifest': await trip(manifest),
    'cold blob': await trip(first ?? ''),
    'hot blob': await trip(first ?? ''),
    'one eviction, and the cold blob that caused it': await trip(second ?? ''),
  };
  const lines = ['| trip | files | functions |', '|---|---|---|'];
  for (const [name, { files, functions }] of Object.entries(trips))
    lines.push(`| ${name} | ${files.length} | ${functions.length} |`);
  for (const [name, { files, functions }] of Object.entries(trips)) {
    lines.push('', `${name}:`, ...files.map(file => `  ${file}`));
    if (process.env['TRACE_FUNCTIONS'] === '1') lines.push(...functions.map(one => `    ${one}`));
  }
  process.stdout.write(`\n${lines.join('\n')}\n`);
});
