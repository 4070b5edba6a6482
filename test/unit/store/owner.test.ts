/** One owner per store, shown with real processes: the other one is a child that acquires the store and says how it went. */
import { execFileSync } from 'node:child_process';
import { mkdir, rename, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { openOwnerAddress, StoreOwner } from '../../../src/store/owner.ts';
import { type SpawnedProcess, spawnProcess } from '../../support/process.ts';
import { filesUnder, makeTempDir, tempDir } from '../../support/temp-dir.ts';

const root = join(import.meta.dirname, '..', '..', '..');
/** `node owner-child.js DATA [stay|leave|crash]` */
const childText = `
import { StoreOwner } from './out/store/owner.js';
const [, , path, then] = process.argv;
const say = value => process.stdout.write(JSON.stringify(value) + '\\n');
try {
  const owner = await StoreOwner.acquire(path);
  say({ msg: 'acquired' });
  if (then === 'leave') await owner.release();
  else setInterval(() => {}, 1e6);
} catch (error) {
  say({ msg: 'refused', name: error.name, code: error.code, message: error.message });
}
`;

let childFolder = '';
let removeFolder = async () => {};

/** A child can't read TypeScript: the two files it needs are compiled for it. */
beforeAll(async () => {
  const { path, remove } = await makeTempDir();
  [childFolder, removeFolder] = [path, remove];
  const project = {
    extends: join(root, 'src', 'tsconfig.json'),
    compilerOptions: { outDir: 'out', typeRoots: [join(root, 'node_modules', '@types')] },
    include: [],
    files: [join(root, 'src', 'store', 'owner.ts')],
  };
  await writeFile(join(path, 'tsconfig.json'), JSON.stringify(project));
  await writeFile(join(path, 'package.json'), '{"type":"module"}');
  await writeFile(join(path, 'owner-child.js'), childText);
  execFileSync(join(root, 'node_modules', '.bin', 'tsc'), ['-p', path]);
});
afterAll(() => removeFolder());

function startOwner(path: string, then: 'stay' | 'leave' = 'stay'): SpawnedProcess {
  return spawnProcess(process.execPath, [join(childFolder, 'owner-child.js'), path, then]);
}

async function acquire(path: string): Promise<StoreOwner> {
  const owner = await StoreOwner.acquire(path);
  onTestFinished(() => owner.release());
  return owner;
}

/** What the owner answers. */
function ask(socketPath: string, path = '/owner'): Promise<{ status: number | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, agent: false }, response => {
      let body = '';
      response.on('data', bytes => {
        body += String(bytes);
      });
      response.on('end', () => resolve({ status: response.statusCode, body }));
    });
    asked.on('error', reject).end();
  });
}

/** A store whose path is too long for the address of a socket. */
async function longPath(): Promise<string> {
  const path = join(await tempDir(), ...Array.from({ length: 5 }, (_, n) => `${n}`.repeat(50)));
  await mkdir(path, { recursive: true });
  expect(path.length).toBeGreaterThan(200);
  return path;
}

const places = [
  { what: 'a short path', place: () => tempDir() },
  { what: 'a path of more than 200 characters', place: longPath },
];

test.each(places)('on $what: a second process is refused and told who has the store', async ({ place }) => {
  const path = await place();
  await acquire(path);
  const second = startOwner(path);
  expect(await second.waitForMessage('refused')).toMatchObject({
    name: 'StoreError',
    code: 'OWNED',
    message: `the store at ${path} belongs to the running process ${process.pid}`,
  });
});

test.each(places)('on $what: another process has it, until it ends', async ({ place }) => {
  const path = await place();
  const first = startOwner(path);
  await first.waitForMessage('acquired');
  await expect(StoreOwner.acquire(path)).rejects.toMatchObject({
    code: 'OWNED',
    message: expect.stringContaining(`process ${first.pid}`),
  });
  await first.stop('SIGKILL');
  expect(await filesUnder(path)).toEqual(['owner.sock']); // stale
  await acquire(path);
  expect(await startOwner(path).waitForMessage('refused')).toMatchObject({ code: 'OWNED' });
});

test.each(places)(
  'on $what: a release removes the socket, and the next one may have the store',
  async ({ place }) => {
    const path = await place();
    const owner = await acquire(path);
    await Promise.all([owner.release(), owner.release()]);
    expect(await filesUnder(path)).toEqual([]);
    const next = startOwner(path, 'leave');
    await next.waitForMessage('acquired');
    expect(await next.exited).toEqual({ code: 0, signal: null });
    expect(await filesUnder(path)).toEqual([]);
  },
);

test.each(places)(
  'on $what: who takes the store the moment it is free keeps its socket',
  async ({ place }) => {
    const path = await place();
    const first = await acquire(path);
    const releasing = first.release();
    const next = await acquire(path);
    await releasing;
    expect(await filesUnder(path)).toEqual(['owner.sock']);
    await expect(StoreOwner.acquire(path)).rejects.toMatchObject({ code: 'OWNED' });
    await next.release();
  },
);

test('only its user may talk to the owner, who tells its process id', async () => {
  const path = await tempDir();
  await acquire(path);
  expect((await stat(join(path, 'owner.sock'))).mode & 0o777).toBe(0o600);
  const body = `${JSON.stringify({ pid: process.pid })}\n`;
  expect(await ask(join(path, 'owner.sock'))).toEqual({ status: 200, body });
  expect(await ask(join(path, 'owner.sock'), '/api/v1/stats')).toEqual({ status: 503, body });
});

test.each(places)(
  'on $what: what it is given to serve is answered with, until it stops',
  async ({ place }) => {
    const path = await place();
    const owner = await acquire(path);
    const address = await openOwnerAddress(path);
    onTestFinished(() => address.close());
    owner.serve((_request, response) => response.end('served'));
    expect(await ask(address.path, '/api/v1/stats')).toEqual({ status: 200, body: 'served' });
    expect((await ask(address.path)).body).toContain(`${process.pid}`);
    owner.serve(() => owner.stopServing());
    await expect(ask(address.path, '/cut')).rejects.toThrow(/hang up|ECONNRESET/);
    expect((await ask(address.path, '/api/v1/stats')).status).toBe(503);
  },
);

test('an owner of an older version, who tells its process id unasked, is understood', async () => {
  const path = await tempDir();
  const old = createServer(socket => socket.on('error', () => {}).end('{"pid":4711}\n'));
  await new Promise<void>(resolve => old.listen(join(path, 'owner.sock'), resolve));
  onTestFinished(() => void old.close());
  for (let n = 0; n < 20; n += 1) {
    await expect(StoreOwner.acquire(path)).rejects.toThrow('belongs to the running process 4711');
  }
});

test('an owner that is stopped still owns', async () => {
  const path = await tempDir();
  const first = startOwner(path);
  await first.waitForMessage('acquired');
  first.signal('SIGSTOP');
  await expect(StoreOwner.acquire(path)).rejects.toMatchObject({ code: 'OWNED' });
  first.signal('SIGCONT');
  await expect(StoreOwner.acquire(path)).rejects.toThrow(`process ${first.pid}`);
});

test('any other file of that name is replaced: it gives no answer', async () => {
  const path = await tempDir();
  await writeFile(join(path, 'owner.sock'), 'another file');
  await acquire(path);
  expect((await ask(join(path, 'owner.sock'))).body).toContain(`${process.pid}`);
});

test('of two that find a stale socket at the same time, one gets the store', async () => {
  const path = await tempDir();
  for (let n = 0; n < 20; n += 1) {
    await writeFile(join(path, 'owner.sock'), 'stale');
    const both = await Promise.allSettled([acquire(path), acquire(path)]);
    const won = both.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []));
    const lost = both.flatMap(result => (result.status === 'rejected' ? [result.reason] : []));
    expect([won.length, lost]).toEqual([1, [expect.objectContaining({ code: 'OWNED' })]]);
    expect(await filesUnder(path)).toEqual(['owner.sock']);
    await won[0]?.release();
  }
});

test('without a folder, or below a file, acquiring fails with what the system says', async () => {
  const path = await tempDir();
  await expect(StoreOwner.acquire(join(path, 'gone'))).rejects.toMatchObject({ code: 'EACCES' }); // so says listen() of a missing folder
  await rename(path, `${path}-moved`);
  onTestFinished(() => rename(`${path}-moved`, path));
  await expect(StoreOwner.acquire(join(path, 'x'.repeat(200)))).rejects.toMatchObject({ code: 'ENOENT' });
});

test('a closed owner does not keep the process alive, and neither does an open one', async () => {
  const path = await tempDir();
  const text = `import { StoreOwner } from './out/store/owner.js'; await StoreOwner.acquire(process.argv[2]);`;
  await writeFile(join(childFolder, 'idle-child.js'), text);
  const child = spawnProcess(process.execPath, [join(childFolder, 'idle-child.js'), path]);
  expect(await child.exited).toEqual({ code: 0, signal: null });
});
