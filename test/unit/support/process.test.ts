import { readFileSync } from 'node:fs';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { memoryBytes, type SpawnOptions, spawnProcess } from '../../support/process.ts';
import { filesUnder, makeTempDir, tempDir } from '../../support/temp-dir.ts';

const node = (script: string, options?: SpawnOptions) =>
  spawnProcess(process.execPath, ['-e', script], options);
/** A zombie has ended, even if its status was not asked for yet. */
const isRunning = (pid: number) => {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
};
const ready = `console.log('hello'); console.log(JSON.stringify({ msg: 'listening', url: 'http://x', pid: process.pid }));`;

test('the ready line is found, before and after it was printed', async () => {
  const child = node(`${ready} setInterval(() => {}, 1000);`);
  const line = await child.waitForMessage('listening');
  expect(line).toMatchObject({ url: 'http://x', pid: child.pid });
  expect(await child.waitForMessage('listening')).toEqual(line);
  expect(child.lines[0]).toBe('hello');
});

test('an end without the line says what was printed instead', async () => {
  const child = node(`console.error('no such key'); process.exitCode = 2;`);
  await expect(child.waitForMessage('listening')).rejects.toThrow(
    /expected a JSON line.*ended \(2\)[\s\S]*no such key/,
  );
  expect(await child.exited).toEqual({ code: 2, signal: null });
});

test('a program that is not there is an error', async () => {
  const child = spawnProcess('/no/such/program', []);
  await expect(child.waitForMessage('x')).rejects.toThrow('ENOENT');
});

test('stop sends the signal and waits, also for a stopped process', async () => {
  const child = node(`process.on('SIGTERM', () => process.exit(7)); ${ready} setInterval(() => {}, 1000);`);
  await child.waitForMessage('listening');
  child.signal('SIGSTOP');
  expect(await child.stop()).toEqual({ code: 7, signal: null });
  expect(await child.stop()).toEqual({ code: 7, signal: null });
  expect(isRunning(child.pid)).toBe(false);
});

test('a group takes grandchildren along', async () => {
  const grandchild = `require('child_process').spawn('sleep', ['60'], { stdio: 'inherit' }).pid`;
  const child = node(
    `console.log(JSON.stringify({ msg: 'grandchild', of: ${grandchild} })); setInterval(() => {}, 1000);`,
    { group: true },
  );
  const { of } = await child.waitForMessage('grandchild');
  expect(isRunning(Number(of))).toBe(true);
  await child.stop('SIGKILL');
  // A dying process closes its output a moment before it counts as ended.
  await expect.poll(() => isRunning(Number(of))).toBe(false);
});

test('memory is read in bytes', async () => {
  const child = node(`globalThis.b = Buffer.alloc(50e6, 1); ${ready} setInterval(() => {}, 1000);`);
  await child.waitForMessage('listening');
  expect(child.peakMemoryBytes()).toBeGreaterThan(50e6);
  expect(memoryBytes('self', 'VmRSS')).toBeLessThanOrEqual(memoryBytes('self', 'VmHWM'));
});

test('files under a directory are listed by relative path, whatever their kind', async () => {
  const directory = await tempDir();
  await mkdir(join(directory, 'a', 'empty'), { recursive: true });
  await writeFile(join(directory, 'a', 'file'), '');
  await symlink('/nowhere', join(directory, 'link'));
  expect(await filesUnder(directory)).toEqual(['a/file', 'link']);
});

test('a temporary directory is removed with all that is in it', async () => {
  const { path, remove } = await makeTempDir();
  await writeFile(join(path, 'file'), '');
  await remove();
  await expect(filesUnder(path)).rejects.toThrow('ENOENT');
});
