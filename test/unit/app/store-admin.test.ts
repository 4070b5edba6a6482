/** Commands on a store that no daemon has: a change takes the store for its time, a look leaves it free. */
import { expect, test } from 'vitest';
import { openStoreAdmin } from '../../../src/app/store-admin.ts';
import { StoreLayout } from '../../../src/store/layout.ts';
import { StoreOwner } from '../../../src/store/owner.ts';
import { Recorder } from '../../support/recorder.ts';
import { filesUnder } from '../../support/temp-dir.ts';
import { ConfigFolder } from '../config/config-folder.ts';

test.each([{ isChange: true }, { isChange: false }])('isChange: $isChange', async ({ isChange }) => {
  const folder = await ConfigFolder.create();
  try {
    const { config } = await folder.load('store: { path: data }');
    const { path } = config.store;
    await StoreLayout.open(path);
    const { logger } = new Recorder();
    const opened = await openStoreAdmin(config, { logger, isChange });
    const daemon = StoreOwner.acquire(path);
    if (isChange) await expect(daemon).rejects.toThrow(`belongs to the running process ${process.pid}`);
    else await (await daemon).release();
    await Promise.all([opened.close(), opened.close()]);
    await (await StoreOwner.acquire(path)).release();
    expect(await filesUnder(path)).toEqual(['id', 'layout']);
  } finally {
    await folder.remove();
  }
});

test('a store that a daemon has is not opened for a change', async () => {
  const folder = await ConfigFolder.create();
  try {
    const { config } = await folder.load('store: { path: data }');
    await StoreLayout.open(config.store.path);
    const owner = await StoreOwner.acquire(config.store.path);
    const { logger } = new Recorder();
    await expect(openStoreAdmin(config, { logger, isChange: true })).rejects.toMatchObject({ code: 'OWNED' });
    await owner.release();
  } finally {
    await folder.remove();
  }
});
