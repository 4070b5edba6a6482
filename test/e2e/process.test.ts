/**
 * The mirror as a process: `npm start` builds, becomes the mirror and leaves nothing behind when it is ended in any of the
 * ways users end it; and SIGTERM in the middle of a transfer ends within `http.drain`, with the transfer if it fits in.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Digest, parseDigest } from '../../src/oci/digest.ts';
import { spawnProcess } from '../support/process.ts';
import { Distribution } from '../support/real/distribution.ts';
import { Mirror, projectFolder } from '../support/real/mirror.ts';
import { host } from '../support/real/place.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';
import { openSuiteParts, type SuiteParts } from './suite-parts.ts';

describe('npm start', () => {
  test.each([
    { how: 'SIGTERM to npm', group: false, signal: 'SIGTERM' },
    { how: 'Ctrl-C, which reaches npm and the mirror', group: true, signal: 'SIGINT' },
  ] as const)('leaves no process behind after $how', async ({ group, signal }) => {
    const marker = randomUUID();
    const folder = await tempDir();
    const env = {
      ...process.env,
      TEST_MARKER: marker,
      CISTERN_HTTP_LISTEN: '127.0.0.1:0',
      CISTERN_STORE_PATH: join(folder, 'data'),
    };
    const npm = spawnProcess('npm', ['start', '--silent'], { cwd: projectFolder, env, group });
    const ready = await npm.waitForMessage('listening');
    const url = new URL(String(ready['url']));
    expect(await processesWith(marker)).toContain(Number(ready['pid']));

    npm.signal(signal);
    await npm.exited;
    expect(npm.lines.filter(line => line.includes('"msg":"stopped"'))).toHaveLength(1);
    expect(await processesWith(marker)).toEqual([]);
    expect(await accepts(url)).toBe(false);
  });
});

requires(
  'root',
  'debian-packages',
  'docker-registry',
  'openssl',
)('SIGTERM in a running transfer', () => {
  let parts: SuiteParts;
  let upstream: Distribution;
  let largest: Digest;

  beforeAll(async () => {
    parts = await openSuiteParts();
    const { folder, storage, images } = parts;
    upstream = await Distribution.start({ folder: join(folder, 'registry'), storage, place: host });
    largest = parseDigest(images.app.top.blobs.at(-1) ?? '');
  });

  afterAll(async () => {
    await upstream?.stop();
    await parts?.remove();
  });

  test('waits for a client that reads on, and the client gets all of it', async () => {
    const mirror = await startMirror('30s');
    const body = await openBlob(mirror);
    const draining = mirror.process.waitForMessage('draining');
    mirror.process.signal('SIGTERM');
    await draining;
    const hash = createHash('sha256');
    for await (const chunk of body) hash.update(chunk);
    expect(`sha256:${hash.digest('hex')}`).toBe(largest);
    expect(await mirror.process.exited).toEqual({ code: 0, signal: null });
  });

  test('ends within http.drain for a client that does not read', async () => {
    const mirror = await startMirror('2s');
    const body = await openBlob(mirror);
    body.once('error', () => {}); // cut by the mirror, which is what is wanted here
    const signalledAt = Date.now();
    mirror.process.signal('SIGTERM');
    expect(await mirror.process.exited).toEqual({ code: 0, signal: null });
    expect(Date.now() - signalledAt).toBeLessThan(2000 + 18_000); // the drain, and time for a busy machine to exit; without it there would be no end
  });

  async function startMirror(drain: string): Promise<Mirror> {
    const settings = { upstreams: { 'docker.io': upstream.url }, tagsTtl: '1h', drain };
    return await Mirror.start(host, await tempDir(), settings);
  }

  /** A cold blob whose first bytes are here and that no client reads on. */
  async function openBlob(mirror: Mirror): Promise<IncomingMessage> {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      get(`${mirror.url}/v2/library/app/blobs/${largest}`, resolve).once('error', reject);
    });
    expect(response.statusCode).toBe(200);
    await new Promise(resolve => response.once('readable', resolve));
    return response;
  }
});

/** Pids of all processes that have this text in their environment, as all children of a marked one do. */
async function processesWith(marker: string): Promise<number[]> {
  const pids = (await readdir('/proc')).map(Number).filter(pid => pid > 0);
  const marked = await Promise.all(
    pids.map(async pid => {
      const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => ''); // it ended, or isn't ours
      return environment.includes(marker);
    }),
  );
  return pids.filter((_, index) => marked[index]);
}

async function accepts(url: URL): Promise<boolean> {
  return await new Promise(resolve => {
    const socket = connect(Number(url.port), url.hostname);
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('close', () => socket.destroy());
  });
}
