/** Servers that have just started and have nothing to do: resident memory and CPU. Bare servers of Node say what the platform takes. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'vitest';
import { unusedPort } from '../support/ports.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';
import { roundsOf, Table } from './report.ts';
import { available, registries } from './servers/registries.ts';
import { type MeasuredServer, startBareServer } from './servers/start.ts';
import { cpuSeconds, megabytes } from './usage.ts';

const rounds = roundsOf(5);
/** What a start leaves behind is collected by then: V8 does it some 8 s after it. */
const settleMs = 15_000;
const idleMs = 20_000;

test('idle memory', async () => {
  const upstream = await startFakeUpstream();
  const table = new Table('Idle', { 'VmRSS MB': 0, 'VmHWM MB': 0, 'CPU %': 2 });
  const kinds = available(registries, why => table.note(why));
  for (let round = 0; round < rounds; round += 1) {
    const servers: [string, MeasuredServer][] = [];
    for (const { name, start } of kinds) servers.push([name, await start(upstream.url)]);
    for (const kind of ['node:http', 'Koa'] as const) servers.push([`${kind}, bare`, await bare(kind)]);
    await delay(settleMs);
    const before = servers.map(([, { pids }]) => cpuSeconds(pids));
    await delay(idleMs);
    for (const [at, [name, { pids, stop }]] of servers.entries()) {
      table.add(name, {
        'VmRSS MB': megabytes(pids, 'VmRSS'),
        'VmHWM MB': megabytes(pids, 'VmHWM'),
        'CPU %': ((cpuSeconds(pids) - (before[at] ?? 0)) / (idleMs / 1000)) * 100,
      });
      await stop();
    }
  }
  table.print();
});

async function bare(kind: 'node:http' | 'Koa'): Promise<MeasuredServer> {
  const folder = await tempDir();
  const file = join(folder, 'body');
  await writeFile(file, '{}');
  return startBareServer(kind, { folder, port: await unusedPort(), file });
}
