/** The scrub over a real store: its pace, how it makes way for transfers, and those who wait for one run together. Timers are the test's. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { expect, test } from 'vitest';
import { HeldFiles } from '../../../src/content/held-files.ts';
import { Scrub, type ScrubOptions } from '../../../src/content/scrub.ts';
import type { Timers } from '../../../src/lib/wait.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { BlobStore } from '../../../src/store/blobs/blob-store.ts';
import { walkBlobs } from '../../../src/store/blobs/blob-walk.ts';
import { Quarantine } from '../../../src/store/blobs/quarantine.ts';
import { StoreLayout } from '../../../src/store/layout.ts';
import { ScrubFile } from '../../../src/store/scrub-file.ts';
import type { Progress } from '../../../src/telemetry/progress.ts';
import { Gate } from '../../support/gates.ts';
import { Recorder } from '../../support/recorder.ts';
import { tempDir } from '../../support/temp-dir.ts';

const KiB = 1024;

/** What a test changes on the way. */
class Control {
  isBusy = false;
  nowMs = 1_700_000_000_000;
  /** Milliseconds that were waited, one for each wait. */
  readonly waits: number[] = [];
  readonly events: string[] = [];
  /** Each wait comes here first. */
  onWait: () => Promise<void> = async () => {};
}

interface Rig extends Control {
  readonly scrub: Scrub;
  readonly layout: StoreLayout;
}

/** Three files of 100 KiB each. */
async function start(
  options: Partial<Pick<ScrubOptions, 'bytesPerSecond'>> & { readonly layout?: StoreLayout } = {},
): Promise<Rig> {
  const layout = options.layout ?? (await StoreLayout.open(await tempDir()));
  const { logger } = new Recorder();
  const control = new Control();
  const { events, waits } = control;
  const observer = { storeError: () => {} };
  const now = () => control.nowMs;
  const store = new BlobStore({ layout, observer });
  const quarantine = new Quarantine({
    layout,
    observer,
    now,
    maxBytes: () => Number.POSITIVE_INFINITY,
    counted: () => {},
  });
  const files = new HeldFiles({
    store,
    quarantine,
    events: { verified: () => {}, removed: () => {} },
    verifyAfterMs: 0,
    observer,
    logger,
    signal: new AbortController().signal,
    now,
    indexedSize: () => undefined,
  });
  for (const letter of ['a', 'b', 'c']) {
    const bytes = Buffer.alloc(100 * KiB, letter);
    await store.put(digestOf(bytes), bytes);
  }
  const timers: Timers = {
    after(delayMs, run) {
      waits.push(Math.round(delayMs));
      void control.onWait().then(run);
      return () => {};
    },
  };
  const scrub = new Scrub({
    source: {
      store,
      files,
      walk: after => walkBlobs({ layout, observer }, after),
      hosted: () => [],
      isHosted: () => false,
      isBusy: () => control.isBusy,
      heldBytes: () => 300 * KiB,
    },
    file: new ScrubFile({ layout, observer }),
    repositoriesOf: async () => ['docker.io/library/app'],
    bytesPerSecond: options.bytesPerSecond ?? 0,
    observer: {
      compared: bytes => events.push(`compared ${bytes}`),
      found: (owner, problem) => events.push(`found ${owner} ${problem}`),
      fetchedAgain: () => events.push('fetched'),
      ended: () => events.push('ended'),
    },
    logger,
    timers,
    now,
  });
  return Object.assign(control, { scrub, layout });
}

const { signal } = new AbortController();

test('without a rate it waits for nothing', async () => {
  const rig = await start();
  expect(await rig.scrub.run(signal)).toMatchObject({ files: 3, bytes: 300 * KiB, findings: [] });
  expect(rig.waits).toEqual([]);
  expect(rig.events).toEqual([...Array.from({ length: 3 }, () => `compared ${100 * KiB}`), 'ended']);
});

test('a rate that is below what was read makes it wait; another caller may set it', async () => {
  const rig = await start({ bytesPerSecond: 1 });
  const gate = new Gate();
  rig.onWait = () => gate.pass();
  const big = Buffer.alloc(600 * KiB, 'd');
  const path = rig.layout.blobPath(digestOf(big));
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, big);
  const running = rig.scrub.run(signal);
  await gate.reached; // of 512 KiB
  const joined = rig.scrub.run(signal, undefined, { bytesPerSecond: 0 });
  gate.release();
  expect(await joined).toEqual(await running);
  expect(rig.waits.length).toBeGreaterThan(0);
  expect(rig.waits.every(ms => ms > 1000)).toBe(true);
});

test('while transfers run it makes way, four quarters of a second for each block, and goes on all the same', async () => {
  const rig = await start();
  rig.isBusy = true;
  await rig.scrub.run(signal);
  expect(rig.waits).toEqual(Array.from({ length: 12 }, () => 250));
  rig.waits.length = 0;
  rig.onWait = async () => {
    rig.isBusy = false;
  };
  await rig.scrub.run(signal);
  expect(rig.waits).toEqual([250]);
});

test('one run for all who ask; it ends when the last of them leaves, and the next goes on there', async () => {
  const rig = await start();
  rig.isBusy = true;
  const gate = new Gate();
  rig.onWait = () => gate.pass();
  const [first, second] = [new AbortController(), new AbortController()];
  const seen: Progress[] = [];
  const runs = [
    rig.scrub.run(first.signal, progress => seen.push(progress)),
    rig.scrub.run(second.signal),
  ].map(run => run.catch((error: unknown) => error));
  await gate.reached;
  first.abort(new Error('first left'));
  expect(await runs[0]).toEqual(new Error('first left'));
  rig.isBusy = false;
  second.abort(new Error('second left'));
  gate.release();
  expect(await runs[1]).toEqual(new Error('second left'));
  expect((await rig.scrub.status()).running).toBeNull();
  expect(await rig.scrub.isDue(Number.POSITIVE_INFINITY)).toBe(true);

  await rig.scrub.run(signal, progress => seen.push(progress));
  expect(rig.events.filter(event => event.startsWith('compared'))).toHaveLength(3);
  expect(seen.at(-1)).toEqual({ done: 300 * KiB, total: 300 * KiB, unit: 'bytes', note: '3 files' });
});

test('it is due some time after the last complete run, after a restart too', async () => {
  const first = await start();
  expect(await first.scrub.isDue(1000)).toBe(false); // counted from the first start of this store
  first.nowMs += 1000;
  expect(await first.scrub.isDue(1000)).toBe(true);
  await first.scrub.run(signal);
  expect(await first.scrub.isDue(1000)).toBe(false);
  const endedAt = new Date(first.nowMs).toISOString();
  const second = await start({ layout: first.layout });
  second.nowMs = first.nowMs + 999;
  expect([await second.scrub.isDue(1000), (await second.scrub.status()).endedAt]).toEqual([false, endedAt]);
  second.nowMs += 1;
  expect(await second.scrub.isDue(1000)).toBe(true);
});

test('a state that is damaged costs one more run', async () => {
  const first = await start();
  await first.scrub.run(signal);
  await writeFile(first.layout.scrubPath, 'no state\n');
  const second = await start({ layout: first.layout });
  expect(await second.scrub.status()).toEqual({ running: null, endedAt: null, damagedFiles: 0, damaged: [] });
  expect(await second.scrub.run(signal)).toMatchObject({ resumed: false, files: 3 });
});
