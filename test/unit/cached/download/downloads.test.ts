/** A partial is removed only while no download fills it, and a download that starts meanwhile waits. */
import { expect, test } from 'vitest';
import { Download } from '../../../../src/cached/download/download.ts';
import { Downloads } from '../../../../src/cached/download/downloads.ts';
import { SourceList } from '../../../../src/cached/download/resume.ts';
import { digestOf } from '../../../../src/oci/digest.ts';
import { bytesBlob } from '../../../support/content.ts';
import { deferred } from '../../../support/gates.ts';
import { Recorder } from '../../../support/recorder.ts';
import { ScriptedSource } from '../rig.ts';

const digest = digestOf(Buffer.from('partial'));

test('a request waits for the removal that runs, and for nothing else', async () => {
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

test('a download that ends for want of sources is told no more, and keeps nothing else from being told', async () => {
  const { observer, logger } = new Recorder();
  const looked = deferred<boolean>();
  const source = new ScriptedSource('docker.io', bytesBlob('partial'), []);
  const sources = new SourceList([source]);
  const downloads = new Downloads();
  downloads.start(
    digest,
    () =>
      new Download({
        ...{ digest, sources, observer, logger, now: Date.now },
        expectedSize: undefined,
        policy: { stallMs: 60_000, giveUpMs: 60_000, minRate: 1024 },
        finish: 'always',
        signal: new AbortController().signal,
        isHeld: () => looked.promise,
        room: { couldHold: () => true, reserve: async () => undefined },
        openIngest: () => Promise.reject(new Error('never opened')),
        onMismatch: () => {},
      }),
  );
  expect([...downloads.progress()].map(one => one.upstream)).toEqual(['docker.io']);
  sources.drop(source);
  expect([...downloads.progress()]).toEqual([]);
  looked.resolve(true);
  await downloads.drained();
});
