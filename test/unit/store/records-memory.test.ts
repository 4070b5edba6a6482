/** Names that clients make up cost no memory for ever, and a record is one object for as long as anybody has it. */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import { StoreLayout } from '../../../src/store/layout.ts';
import { Records } from '../../../src/store/records/records.ts';
import { tempDir } from '../../support/temp-dir.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent };

test('a record that is in use stays the same object while thousands of others come', async () => {
  const layout = await StoreLayout.open(await tempDir());
  const records = new Records({ layout, observer: { storeError() {} }, logger: silent });
  const mine = await records.open('docker.io/library/mine');
  const digest: Digest = digestOf(Buffer.from('mine'));
  for (let n = 0; n < 5000; n += 1) await records.open(`docker.io/library/other${n}`);
  await delay(0);
  mine.link(digest);
  const again = await records.open('docker.io/library/mine');
  expect(again).toBe(mine);
  expect(again.isLinked(digest)).toBe(true);
  await records.close();
  const reopened = new Records({ layout, observer: { storeError() {} }, logger: silent });
  expect((await reopened.open('docker.io/library/mine')).isLinked(digest)).toBe(true);
});
