/**
 * A held blob of 103 MB, again and again over kept connections, to 1 and to 4 clients: GB/s, and what a GB costs the server with all its
 * processes. All have it in the page cache. The loop in C is what no server that copies gets below.
 */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'vitest';
import { patternBlob } from '../support/content.ts';
import { unusedPort } from '../support/ports.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';
import { clientKind, download } from './load.ts';
import { builtFile } from './programs.ts';
import { roundsOf, Table } from './report.ts';
import { startNginx, startNginxAccel, startNginxCache } from './servers/nginx.ts';
import { available, registries } from './servers/registries.ts';
import { type MeasuredServer, start } from './servers/start.ts';
import { cpuSeconds } from './usage.ts';

const bytes = 103_000_000;
const rounds = roundsOf(9);
/** Downloads of a round, over all its clients. */
const downloads = 24;

test('a hot blob', async () => {
  const blob = patternBlob('bench: a hot blob', bytes);
  const upstream = await startFakeUpstream();
  upstream.putBlob('library/big', blob.digest, blob);
  const path = `/v2/library/big/blobs/${blob.digest}`;
  const table = new Table('A hot blob of 103 MB', { 'GB/s': 2, 'CPU s/GB': 3, 'bodies not whole': 0 });
  table.note(clientKind);
  const servers: { name: string; server: MeasuredServer; url: string }[] = [];
  const add = (name: string, server: MeasuredServer, what = path) =>
    servers.push({ name, server, url: server.url + what });
  for (const kind of available(registries, why => table.note(why)))
    add(kind.name, await kind.start(upstream.url));
  add('nginx with accel, and Cistern', await startNginxAccel(upstream.url));
  add('nginx as a cache', await startNginxCache(upstream.url));
  const content = blob.slice(0, bytes);
  add('nginx', await startNginx({ blob: content }), '/blob');
  if (existsSync(builtFile('copy-server'))) add('read and write in C', await startCopyServer(content), '/');
  for (const { url } of servers) await download(url, { clients: 1, times: 3, bytes });

  for (let round = 0; round < rounds; round += 1) {
    for (const clients of [1, 4]) {
      for (const { name, server, url } of servers) {
        const cpuBefore = cpuSeconds(server.pids);
        const done = await download(url, { clients, times: downloads / clients, bytes });
        table.add(`${name}, ${clients} clients`, {
          'GB/s': done.gigabytes / done.seconds,
          'CPU s/GB': (cpuSeconds(server.pids) - cpuBefore) / done.gigabytes,
          'bodies not whole': downloads - done.whole,
        });
      }
    }
  }
  table.print();
});

async function startCopyServer(content: Buffer): Promise<MeasuredServer> {
  const folder = await tempDir();
  const port = await unusedPort();
  const file = join(folder, 'blob');
  await writeFile(file, content);
  return start({
    folder,
    port,
    argv: [builtFile('copy-server'), String(port), file],
    readyPath: '/',
  });
}
