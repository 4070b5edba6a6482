/** What a store writes is for its user and its group, whatever the process' umask says. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { StoreLayout } from '../../../src/store/layout.ts';
import { tempDir } from '../../support/temp-dir.ts';

test('layout and id are 0640 under a umask of 0', async () => {
  const before = process.umask(0);
  onTestFinished(() => void process.umask(before));
  const path = join(await tempDir(), 'data');
  await StoreLayout.open(path);
  const modes = await Promise.all(
    ['layout', 'id'].map(async name => (await stat(join(path, name))).mode & 0o777),
  );
  expect(modes).toEqual([0o640, 0o640]);
});
