/**
 * One cold blob of 100 MB and 1, 8 or 50 clients who want it at the same moment: what the upstream is asked for. Every
 * round has a server with an empty store. The upstream is the fake one of the tests, which counts; it and the clients
 * share the machine with the server, so the seconds compare the servers and are no transfer rates. What is counted includes
 * what a server still does afterwards.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'vitest';
import { patternBlob } from '../support/content.ts';
import { FakeUpstream } from '../support/upstream.ts';
import { download } from './load.ts';
import { Table } from './report.ts';
import { mirrors } from './servers.ts';
import { cpuSeconds, megabytes } from './usage.ts';

const bytes = 100_000_000;
const rounds = 3;

test('a cold blob', async () => {
  const blob = patternBlob('bench: a cold blob', bytes);
  const table = new Table('A cold blob of 100 MB', {
    'upstream requests': 0,
    'upstream bytes': 2,
    'whole bodies': 0,
    seconds: 1,
    'CPU s': 2,
    'VmHWM MB': 0,
  });
  for (let round = 0; round < rounds; round += 1) {
    for (const clients of [1, 8, 50]) {
      for (const [name, start] of Object.entries(mirrors)) {
        const upstream = await FakeUpstream.start();
        upstream.putBlob('library/big', blob.digest, blob);
        const server = await start(upstream.url);
        upstream.log.clear();
        const cpuBefore = cpuSeconds(server.pid);
        const url = `${server.url}/v2/library/big/blobs/${blob.digest}`;
        const { seconds, whole } = await download(url, { clients, times: 1, bytes });
        await quiet(upstream);
        table.add(`${name}, ${clients} clients`, {
          'upstream requests': upstream.lines().length,
          'upstream bytes': upstream.contentBytes('blob') / bytes,
          'whole bodies': whole,
          seconds,
          'CPU s': cpuSeconds(server.pid) - cpuBefore,
          'VmHWM MB': megabytes(server.pid, 'VmHWM'),
        });
        await server.stop();
        await upstream.close();
      }
    }
  }
  table.print();
});

/** Nothing has left the upstream for half a second. */
async function quiet(upstream: FakeUpstream): Promise<void> {
  for (let seen = -1; seen !== upstream.contentBytes('blob'); ) {
    seen = upstream.contentBytes('blob');
    await delay(500);
  }
}
