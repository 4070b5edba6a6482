/** A process with few descriptors: clients wait or are turned away, and what is held is neither lost nor taken for bad. */
import { readdir, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { stringify } from 'yaml';
import { get, head } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { type BuiltImage, buildImage } from '../support/images.ts';
import { spawnProcess } from '../support/process.ts';
import { filesUnder, tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

/** `dist/main.js` under `ulimit -n`. */
async function spawnWithin(
  descriptors: number,
  upstream: string,
  http: Readonly<Record<string, unknown>> = {},
) {
  const folder = await tempDir();
  const storePath = join(folder, 'data');
  const file = join(folder, 'mirror.yml');
  const config = {
    http: { listen: '127.0.0.1:0', ...http },
    store: { path: storePath, min_free: 0 },
    upstreams: { 'docker.io': { url: upstream } },
  };
  await writeFile(file, stringify(config));
  const command = `ulimit -n ${descriptors}; exec "$0" dist/main.js serve --config "$1"`;
  const child = spawnProcess('bash', ['-c', command, process.execPath, file]);
  const ready = await child.waitForMessage('listening');
  return { url: String(ready['url']), storePath, child };
}

function idle(url: string): Socket {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname).on('error', () => {});
  onTestFinished(() => void socket.destroy());
  return socket;
}

async function pull(url: string, image: BuiltImage): Promise<(string | undefined)[]> {
  const manifest = await get(url, `/v2/library/alpine/manifests/${image.digest}`);
  const blobs = await Promise.all(
    image.blobs.map(({ descriptor }) => get(url, `/v2/library/alpine/blobs/${descriptor.digest}`)),
  );
  return [manifest, ...blobs].map(({ sha256 }) => sha256);
}

const image = buildImage({
  layers: Array.from({ length: 12 }, (_, at) => patternBlob(`layer ${at}`, 400_000)),
});
const digests = [image.digest, ...image.blobs.map(({ descriptor }) => descriptor.digest)];

test('without descriptors for a while: some answers fail, then all that is held is there, and nothing is fetched again', async () => {
  const upstream = await startFakeUpstream();
  upstream.put('library/alpine', image, 'latest');
  const { url, storePath, child } = await spawnWithin(256, upstream.url, { max_connections: 1000 });
  expect(await pull(url, image)).toEqual(digests);
  const heldFiles = async () => (await filesUnder(join(storePath, 'blobs-v1'))).sort();
  await expect.poll(heldFiles).toHaveLength(digests.length); // the last ones are written after they are sent
  const held = await heldFiles();

  const errors = /^cistern_store_errors_total\{operation="open"\} (\d+)/m;
  const failedOpens = async () => Number(errors.exec((await get(url, '/metrics')).body.toString())?.[1] ?? 0);
  // How many descriptors are left for files depends on what else is open at that moment.
  for (let idleSockets = 160; idleSockets <= 230 && (await failedOpens()) === 0; idleSockets += 2) {
    const sockets = Array.from({ length: idleSockets }, () => idle(url));
    const tries = Array.from({ length: 80 }, (_, at) =>
      get(url, `/v2/library/alpine/blobs/${digests[1 + (at % (digests.length - 1))]}`).catch(() => undefined),
    );
    for (const result of await Promise.race([Promise.all(tries), after(1000)])) {
      if (result?.status === 200 && result.end === 'complete') expect(digests).toContain(result.sha256);
    }
    for (const socket of sockets) socket.destroy();
    await Promise.all(tries);
  }
  expect(await failedOpens()).toBeGreaterThan(0);
  upstream.log.clear();
  expect(await pull(url, image)).toEqual(digests);
  expect(upstream.lines()).toEqual([]);
  expect(await heldFiles()).toEqual(held);
  expect(await readdir(join(storePath, 'quarantine-v1')).catch(() => [])).toEqual([]);
  expect(child.output).not.toContain('a held file is bad');
  expect(child.running).toBe(true);
}, 60_000);

test('http.max_connections follows from ulimit -n: more are closed at once, and those that are open are served', async () => {
  const upstream = await startFakeUpstream();
  upstream.put('library/alpine', image, 'latest');
  const { url, child } = await spawnWithin(192, upstream.url); // (192 - 128) / 2
  expect(await pull(url, image)).toEqual(digests);
  const sockets: Socket[] = [];
  let closed = 0;
  for (let at = 0; at < 60; at += 1) sockets.push(idle(url).once('close', () => (closed += 1)));
  await expect.poll(() => closed).toBeGreaterThanOrEqual(60 - 32);
  for (const socket of sockets) socket.destroy();
  await expect.poll(async () => (await head(url, '/healthz').catch(() => undefined))?.status).toBe(200);
  expect(await pull(url, image)).toEqual(digests);
  expect(child.output).not.toContain('EMFILE');
}, 60_000);

async function after(ms: number): Promise<readonly undefined[]> {
  await new Promise(resolve => setTimeout(resolve, ms));
  return [];
}
