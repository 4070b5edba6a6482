/**
 * A held blob of 100 MB, again and again over kept connections, to 1 and to 4 clients: GB/s, and what a GB costs the
 * server. All servers have it in the page cache.
 */
import { test } from 'vitest';
import { patternBlob } from '../support/content.ts';
import { startFakeUpstream } from '../support/upstream.ts';
import { download } from './load.ts';
import { Table } from './report.ts';
import { type MeasuredServer, mirrors, startNginx } from './servers.ts';
import { cpuSeconds } from './usage.ts';

const bytes = 100_000_000;
const rounds = 7;
/** Downloads of a round, over all its clients. */
const downloads = 24;

test('a hot blob', async () => {
  const blob = patternBlob('bench: a hot blob', bytes);
  const upstream = await startFakeUpstream();
  upstream.putBlob('library/big', blob.digest, blob);
  const path = `/v2/library/big/blobs/${blob.digest}`;
  const nginx = await startNginx({ blob: blob.slice(0, bytes) });
  const servers: { name: string; server: MeasuredServer; url: string }[] = [];
  for (const [name, start] of Object.entries(mirrors)) {
    const server = await start(upstream.url);
    servers.push({ name, server, url: server.url + path });
  }
  servers.push({ name: 'nginx', server: nginx, url: `${nginx.url}/blob` });
  for (const { url } of servers) await download(url, { clients: 1, times: 3, bytes });

  const table = new Table('A hot blob of 100 MB', { 'GB/s': 2, 'CPU s/GB': 2, 'bodies not whole': 0 });
  for (let round = 0; round < rounds; round += 1) {
    for (const clients of [1, 4]) {
      for (const { name, server, url } of servers) {
        const cpuBefore = cpuSeconds(server.pid);
        const done = await download(url, { clients, times: downloads / clients, bytes });
        table.add(`${name}, ${clients} clients`, {
          'GB/s': done.gigabytes / done.seconds,
          'CPU s/GB': (cpuSeconds(server.pid) - cpuBefore) / done.gigabytes,
          'bodies not whole': downloads - done.whole,
        });
      }
    }
  }
  table.print();
});
