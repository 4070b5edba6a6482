/** The file of the daily report: appended, torn by a crash, damaged, rewritten, and no regular file. */
import { appendFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ReportFile } from '../../../src/store/report-file.ts';
import { tempDir } from '../../support/temp-dir.ts';

async function rig() {
  const folder = await tempDir();
  const path = join(folder, 'report-v1', 'usage.log');
  const errors: string[] = [];
  const observer = { storeError: (operation: string) => void errors.push(operation) };
  let temps = 0;
  const tempPath = () => {
    temps += 1;
    return join(folder, `temp-${temps}`);
  };
  const open = () => new ReportFile({ path, tempPath, observer });
  return { path, errors, open };
}

test('lines come back in their order; a torn one and a damaged one are passed over', async () => {
  const { path, open } = await rig();
  const file = open();
  expect(await file.read()).toEqual([]);
  await file.append([{ a: 1 }, { b: 2 }]);
  await file.append([{ c: 3 }]);
  expect(await open().read()).toEqual([{ a: 1 }, { b: 2 }, { c: 3 }]);
  await appendFile(path, '12345678 {"d":');
  const torn = open();
  expect(await torn.read()).toHaveLength(3);
  await torn.append([{ e: 5 }]);
  expect(await open().read()).toEqual([{ a: 1 }, { b: 2 }, { c: 3 }, { e: 5 }]);
  await writeFile(path, (await readFile(path, 'utf8')).replace('{"b":2}', '{"b":9}'));
  expect(await open().read()).toEqual([{ a: 1 }, { c: 3 }, { e: 5 }]);
});

test('it is bloated when most of it is outdated, and not after a rewrite', async () => {
  const { path, open } = await rig();
  const file = open();
  await file.rewrite([{ first: true }]);
  const line = { text: 'x'.repeat(1000) };
  for (let count = 0; count < 3; count += 1) await file.append(Array.from({ length: 100 }, () => line));
  expect(file.isBloated).toBe(true);
  await file.rewrite([line]);
  expect(file.isBloated).toBe(false);
  expect(await open().read()).toEqual([line]);
  expect((await readFile(path, 'utf8')).split('\n')).toHaveLength(2);
});

test('what is no regular file is moved away; a folder in its place is an error that is reported', async () => {
  const { path, errors, open } = await rig();
  await mkdir(join(path, '..'), { recursive: true });
  await symlink('/etc/hostname', path);
  const file = open();
  expect(await file.read()).toEqual([]);
  await file.append([1]);
  expect(await open().read()).toEqual([1]);
  expect(errors).toEqual([]);
  const blocked = await rig();
  await writeFile(join(blocked.path, '..'), 'a file');
  await expect(blocked.open().append([1])).rejects.toMatchObject({ name: 'StoreError', operation: 'record' });
  expect(blocked.errors).toEqual(['record']);
});
