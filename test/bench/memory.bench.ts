/**
 * Resident memory of servers that have just started and have nothing to do; bare servers of Node say what the platform
 * takes. The peak under 50 clients is in the table of cold-blob.bench.ts.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'vitest';
import { startFakeUpstream } from '../support/upstream.ts';
import { Table } from './report.ts';
import { mirrors, startBareServer } from './servers.ts';
import { megabytes } from './usage.ts';

const rounds = 5;
/** What a start leaves behind is collected by then. */
const idleMs = 5000;

test('idle memory', async () => {
  const upstream = await startFakeUpstream();
  const table = new Table('Idle memory in MB', { VmRSS: 0, VmHWM: 0 });
  for (let round = 0; round < rounds; round += 1) {
    const empty = Buffer.from('{}');
    const servers = {
      Cistern: await mirrors.Cistern(upstream.url),
      'docker-registry': await mirrors['docker-registry'](upstream.url),
      'node:http, bare': await startBareServer('node:http', empty),
      'Koa, bare': await startBareServer('Koa', empty),
    };
    await delay(idleMs);
    for (const [name, { pid, stop }] of Object.entries(servers)) {
      table.add(name, { VmRSS: megabytes(pid, 'VmRSS'), VmHWM: megabytes(pid, 'VmHWM') });
      await stop();
    }
  }
  table.print();
});
