/**
 * One cold blob of 103 MB and 1, 8 or 50 clients who want it at the same moment: what the upstream is asked for, how long the last client
 * takes and what it costs. Every round has a server with an empty store. The upstream is the fake one of the tests, which counts; it and
 * the clients share the machine with the server, so seconds compare the servers and are no transfer rates.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'vitest';
import { patternBlob } from '../support/content.ts';
import { FakeUpstream } from '../support/upstream.ts';
import { clientKind, download } from './load.ts';
import { roundsOf, Table } from './report.ts';
import { startNginxCache } from './servers/nginx.ts';
import { available, type RegistryKind, registries } from './servers/registries.ts';
import { startRelay } from './servers/relay.ts';
import { cpuSeconds, megabytes } from './usage.ts';

const bytes = 103_000_000;
const nginxCache: RegistryKind = { name: 'nginx as a cache', start: url => startNginxCache(url ?? '') };

test('a cold blob', async () => {
  const blob = patternBlob('bench: a cold blob', bytes);
  const table = new Table('A cold blob of 103 MB', {
    'upstream requests': 0,
    'upstream bytes': 2,
    'whole bodies': 0,
    seconds: 2,
    'CPU s': 2,
    'VmHWM MB': 0,
  });
  table.note(clientKind);
  const kinds = [...available(registries, why => table.note(why)), nginxCache];
  for (const clients of [1, 8, 50]) {
    for (let round = 0; round < roundsOf(clients === 50 ? 3 : 9); round += 1) {
      for (const { name, start } of kinds) {
        const upstream = await FakeUpstream.start();
        upstream.putBlob('library/big', blob.digest, blob);
        const server = await start(upstream.url);
        upstream.log.clear();
        const cpuBefore = cpuSeconds(server.pids);
        const url = `${server.url}/v2/library/big/blobs/${blob.digest}`;
        const { seconds, whole } = await download(url, { clients, times: 1, bytes });
        await quiet(upstream);
        table.add(`${name}, ${clients} clients`, {
          'upstream requests': upstream.lines().length,
          'upstream bytes': upstream.contentBytes('blob') / bytes,
          'whole bodies': whole,
          seconds,
          'CPU s': cpuSeconds(server.pids) - cpuBefore,
          'VmHWM MB': megabytes(server.pids, 'VmHWM'),
        });
        await server.stop();
        await upstream.close();
      }
    }
  }
  table.print();
});

test('a cold blob of a slow upstream', async () => {
  const size = 120_000_000;
  const blob = patternBlob('bench: a slow upstream', size);
  const table = new Table('A cold blob of 120 MB from an upstream of 40 MB/s', { seconds: 2, 'CPU s': 2 });
  const kinds = [...available(registries, why => table.note(why)), nginxCache];
  for (let round = 0; round < roundsOf(3); round += 1) {
    for (const clients of [1, 8]) {
      for (const { name, start } of kinds) {
        const upstream = await FakeUpstream.start();
        upstream.putBlob('library/big', blob.digest, blob);
        const server = await start(await startRelay(upstream.url, { bytesPerSecond: 40_000_000 }));
        const cpuBefore = cpuSeconds(server.pids);
        const url = `${server.url}/v2/library/big/blobs/${blob.digest}`;
        const { seconds } = await download(url, { clients, times: 1, bytes: size });
        table.add(`${name}, ${clients} clients`, {
          seconds,
          'CPU s': cpuSeconds(server.pids) - cpuBefore,
        });
        await server.stop();
        await upstream.close();
      }
    }
  }
  table.print();
});

/** Nothing has left the upstream for half a second: some go on fetching after their clients are done. */
async function quiet(upstream: FakeUpstream): Promise<void> {
  for (let seen = -1; seen !== upstream.contentBytes('blob'); ) {
    seen = upstream.contentBytes('blob');
    await delay(500);
  }
}
