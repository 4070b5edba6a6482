/**
 * 50 clients on one cold 100 MB blob: what it costs the mirror's process. Prints one line; the figures are compared with
 * nothing here (machines differ), the bound of the peak memory is checked by who reads it: 150 MB.
 */
import { readFileSync } from 'node:fs';
import { test } from 'vitest';
import { requestMany } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { spawnTestMirror } from '../support/mirror.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const size = 100_000_000;
const ticksPerSecond = 100;

/** User and system time of a process so far, in seconds. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

test.each([1, 8, 50])('%i clients on one cold 100 MB blob', async clients => {
  const upstream = await startFakeUpstream();
  const blob = patternBlob('bench many clients', size);
  upstream.putBlob('library/big', blob.digest, blob);
  const mirror = await spawnTestMirror({ upstream, config: { log: { level: 'info' } } });
  const idle = mirror.process.peakMemoryBytes();
  const before = { cpu: cpuSeconds(mirror.process.pid), ms: performance.now() };
  const calls = requestMany(clients, mirror.url, { path: `/v2/library/big/blobs/${blob.digest}` });
  const results = await Promise.all(calls.map(call => call.done));
  const seconds = (performance.now() - before.ms) / 1000;
  const cpu = cpuSeconds(mirror.process.pid) - before.cpu;
  const right = results.filter(result => result.sha256 === blob.digest).length;
  const [peak, start] = [mirror.process.peakMemoryBytes(), idle].map(bytes => (bytes / 1e6).toFixed(0));
  const ratio = (upstream.contentBytes('blob') / size).toFixed(2);
  process.stdout.write(
    `many-clients: ${clients} clients, ${right} right, ${upstream.lines().length} upstream requests, ${ratio}x bytes, ` +
      `VmHWM ${peak} MB (${start} MB at start), ${seconds.toFixed(1)} s, ${((cpu * 1e9) / (clients * size)).toFixed(2)} CPU s/GB\n`,
  );
});
