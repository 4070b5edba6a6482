/** A partial is removed only while nobody fills it, and a download that starts meanwhile waits. */
import { expect, test } from 'vitest';
import { Downloads } from '../../../src/cached/downloads.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { deferred } from '../../support/gates.ts';

const digest = digestOf(Buffer.from('partial'));

test('whoever asks waits for the removal that runs, and nothing else', async () => {
  const downloads = new Downloads();
  const unlinked = deferred<number>();
  const removal = downloads.removePartial(digest, () => unlinked.promise);
  let waited = false;
  const waiting = downloads.removed(digest).then(() => {
    waited = true;
  });
  await downloads.removed(digestOf(Buffer.from('another')));
  expect(waited).toBe(false);
  unlinked.resolve(42);
  expect(await removal).toBe(42);
  await waiting;
  await downloads.removed(digest);
});

test('a removal that fails ends the wait, and is told to who asked for it', async () => {
  const downloads = new Downloads();
  const unlinked = deferred<number>();
  const removal = downloads.removePartial(digest, () => unlinked.promise);
  const waiting = downloads.removed(digest);
  unlinked.reject(new Error('busy'));
  await expect(removal).rejects.toThrow('busy');
  await waiting;
});
