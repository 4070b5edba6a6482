import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { LineFile } from '../../../src/store/line-file.ts';
import { Recorder } from '../../support/recorder.ts';
import { tempDir } from '../../support/temp-dir.ts';

interface Rig {
  readonly path: string;
  readonly file: LineFile;
  readonly trouble: string[];
}

async function setUp(name = 'audit.log'): Promise<Rig> {
  const path = join(await tempDir(), name);
  const trouble: string[] = [];
  const file = new LineFile({
    path,
    observer: new Recorder().observer,
    onTrouble: (error, dropped) => trouble.push(dropped > 0 ? `${dropped} dropped` : String(error)),
  });
  return { path, file, trouble };
}

test('appends lines in order, to what is there, and closes when all are written', async () => {
  const { path, file } = await setUp();
  for (let n = 0; n < 1000; n += 1) file.write(`${n}\n`);
  await file.close();
  expect((await readFile(path, 'utf8')).split('\n')).toEqual([
    ...Array.from({ length: 1000 }, (_, n) => `${n}`),
    '',
  ]);
});

test('reopens: lines after it go to the file that has the path then', async () => {
  const { path, file, trouble } = await setUp();
  file.write('old\n');
  await file.flush();
  await rename(path, `${path}.1`);
  file.write('still old\n');
  await file.flush();
  file.reopen();
  file.write('new\n');
  await file.close();
  expect(await readFile(`${path}.1`, 'utf8')).toBe('old\nstill old\n');
  expect(await readFile(path, 'utf8')).toBe('new\n');
  expect(trouble).toEqual([]);
});

test('keeps lines while the file can not be written, up to 8 MiB, says so once, and drops the newest above it', async () => {
  const { path, file, trouble } = await setUp();
  await mkdir(path); // can't be opened as a file
  file.write('first\n');
  await file.flush();
  const line = `${'x'.repeat(1024 * 1024 - 1)}\n`;
  for (let n = 0; n < 10; n += 1) file.write(line);
  await file.flush();
  expect(trouble).toHaveLength(1);
  expect(trouble[0]).toContain('EISDIR');
  await rm(path, { recursive: true });
  file.reopen();
  await file.close();
  expect(await readFile(path, 'utf8')).toBe(`first\n${line.repeat(7)}`);
  expect(trouble.slice(1)).toEqual(['3 dropped']);
});
