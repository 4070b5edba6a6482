import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeFolder, renameDurably, syncFolder, writeDurably } from '../../../src/store/disk-files.ts';
import { StoreError } from '../../../src/store/store-error.ts';
import { Recorder } from '../../support/recorder.ts';
import { filesUnder, tempDir } from '../../support/temp-dir.ts';

test('a small file is written by way of its temp name, which is gone then', async () => {
  const [path, recorder] = [await tempDir(), new Recorder()];
  await writeDurably(recorder.observer, join(path, 'temp'), join(path, 'file'), Buffer.from('bytes'));
  expect([await filesUnder(path), await readFile(join(path, 'file'), 'utf8')]).toEqual([['file'], 'bytes']);
  expect(recorder.events).toEqual([]);
});

test('it replaces what was there, and makes the folders that are missing', async () => {
  const [path, recorder] = [await tempDir(), new Recorder()];
  for (const text of ['old and long', 'new'])
    await writeDurably(
      recorder.observer,
      join(path, 'temp'),
      join(path, 'a', 'b', 'file'),
      Buffer.from(text),
    );
  expect(await readFile(join(path, 'a', 'b', 'file'), 'utf8')).toBe('new');
  expect((await stat(join(path, 'a'))).mode & 0o007).toBe(0);
});

test('a temp name that is taken is an error, and stays the property of the other one', async () => {
  const [path, recorder] = [await tempDir(), new Recorder()];
  await writeFile(join(path, 'other'), 'of another');
  await symlink('other', join(path, 'temp'));
  await expect(
    writeDurably(recorder.observer, join(path, 'temp'), join(path, 'file'), Buffer.from('bytes')),
  ).rejects.toMatchObject({ operation: 'write', code: 'EEXIST' });
  expect(await readFile(join(path, 'other'), 'utf8')).toBe('of another');
  expect(recorder.events).toEqual(['storeError write']);
});

test('when the rename fails the temp file is removed and the error told once, as a StoreError', async () => {
  const [path, recorder] = [await tempDir(), new Recorder()];
  await mkdir(join(path, 'taken', 'by a folder'), { recursive: true });
  const failed = writeDurably(
    recorder.observer,
    join(path, 'temp'),
    join(path, 'taken'),
    Buffer.from('bytes'),
  );
  await expect(failed).rejects.toBeInstanceOf(StoreError);
  await expect(failed).rejects.toMatchObject({ operation: 'rename', isFull: false });
  expect([await filesUnder(path), recorder.events]).toEqual([[], ['storeError rename']]);
});

test('a rename of a file that is not there says so', async () => {
  const [path, recorder] = [await tempDir(), new Recorder()];
  await expect(
    renameDurably(recorder.observer, join(path, 'gone'), join(path, 'a', 'file')),
  ).rejects.toMatchObject({ operation: 'rename', code: 'ENOENT' });
});

test('a folder is made with all above it, and making it twice is nothing', async () => {
  const path = await tempDir();
  await makeFolder(join(path, 'a', 'b', 'c'));
  await makeFolder(join(path, 'a', 'b', 'c'));
  expect((await stat(join(path, 'a', 'b', 'c'))).isDirectory()).toBe(true);
});

test('syncing what is no folder any more fails', async () => {
  await expect(syncFolder(join(await tempDir(), 'gone'))).rejects.toMatchObject({ code: 'ENOENT' });
});
