/** Guards src/store/folder-syncs.ts: which syncs of folders are shared. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { FolderSyncs } from '../../../src/store/folder-syncs.ts';
import { type Deferred, deferred } from '../../support/gates.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** Syncs of open folders. */
async function watchSyncs() {
  const handle = await open('/dev/null');
  const prototype: { sync(): Promise<void> } = Object.getPrototypeOf(handle);
  await handle.close();
  const spy = vi.spyOn(prototype, 'sync');
  onTestFinished(() => spy.mockRestore());
  return spy;
}

/** A first sync of that folder, which runs until the test says how it ends. */
async function beginSync(
  folders: FolderSyncs,
  folder: string,
  syncs: Awaited<ReturnType<typeof watchSyncs>>,
): Promise<{ readonly first: Promise<void>; readonly end: Deferred<void> }> {
  const [begun, end] = [deferred(), deferred()];
  syncs.mockImplementationOnce(() => {
    begun.resolve();
    return end.promise;
  });
  const first = folders.sync(folder);
  await begun.promise;
  return { first, end };
}

test('20 that ask while a sync runs share the next one, which begins after it; other folders wait for nothing', async () => {
  const [folder, other, syncs, folders] = [
    await tempDir(),
    await tempDir(),
    await watchSyncs(),
    new FolderSyncs(),
  ];
  const { first, end } = await beginSync(folders, folder, syncs);
  const later = Promise.all(Array.from({ length: 20 }, () => folders.sync(folder)));
  await folders.sync(other);
  expect(syncs).toHaveBeenCalledTimes(2);
  end.resolve();
  await Promise.all([first, later]);
  expect(syncs).toHaveBeenCalledTimes(3);
  await folders.sync(folder);
  expect(syncs).toHaveBeenCalledTimes(4);
});

test('a sync that fails is the error of those who share it, not of those who wait for the next', async () => {
  const [folder, syncs, folders] = [await tempDir(), await watchSyncs(), new FolderSyncs()];
  const fault = Object.assign(new Error('EIO'), { code: 'EIO' });
  const { first, end } = await beginSync(folders, folder, syncs);
  const later = folders.sync(folder);
  end.reject(fault);
  expect(await Promise.allSettled([first, later])).toEqual([
    { status: 'rejected', reason: fault },
    { status: 'fulfilled', value: undefined },
  ]);
  const gone = join(folder, 'gone');
  await expect(Promise.all([folders.sync(gone), folders.sync(gone)])).rejects.toMatchObject({
    code: 'ENOENT',
  });
  await expect(folders.sync(folder)).resolves.toBeUndefined();
});
