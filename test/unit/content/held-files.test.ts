/** Held files that are bad and can't be moved: the mirror does without them until something else is in their place. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';
import { HeldFiles } from '../../../src/content/held-files.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import { Quarantine } from '../../../src/store/blobs/quarantine.ts';
import { StoreError } from '../../../src/store/store-error.ts';
import { digestWith, HandClock } from '../cached/rig.ts';
import { StoreRig } from '../cached/store-rig.ts';

const bytes = Buffer.from('a held blob');
const digest = digestOf(bytes);

class Rig {
  readonly store: StoreRig;
  readonly files: HeldFiles;
  readonly sizes = new Map<Digest, number>();
  readonly removed: string[] = [];
  readonly clock = new HandClock();

  private constructor(store: StoreRig) {
    this.store = store;
    const { observer, logger } = store.recorder;
    this.files = new HeldFiles({
      store: store.store,
      quarantine: new Quarantine({
        layout: store.layout,
        observer,
        now: Date.now,
        maxBytes: () => 1000,
        counted: () => {},
      }),
      observer,
      logger,
      verifyAfterMs: 0,
      signal: new AbortController().signal,
      now: this.clock.now,
      events: {
        verified: () => {},
        removed: (gone, size, kind) => this.removed.push(`${gone} ${size} ${kind}`),
      },
      indexedSize: asked => this.sizes.get(asked),
    });
  }

  static async create(): Promise<Rig> {
    return new Rig(await StoreRig.create());
  }

  get path(): string {
    return this.store.layout.blobPath(digest);
  }

  async isOpened(): Promise<boolean> {
    const held = await this.files.open(digest);
    await held?.close();
    return held !== undefined;
  }
}

test('a file of the length that the index has, or that nobody knows, is opened', async () => {
  const rig = await Rig.create();
  await rig.store.store.put(digest, bytes);
  expect([await rig.isOpened(), await rig.files.sizeOf(digest)]).toEqual([true, bytes.length]);
  rig.sizes.set(digest, bytes.length);
  expect([await rig.isOpened(), await rig.files.isHeld(digest)]).toEqual([true, true]);
  expect(rig.store.recorder.events).toEqual([]);
});

test.each(['open', 'sizeOf'] as const)('a file of another length is out of the way after %s', async how => {
  const rig = await Rig.create();
  await rig.store.store.put(digest, bytes);
  rig.sizes.set(digest, bytes.length + 1);
  expect(await rig.files[how](digest)).toBeUndefined();
  expect(rig.removed).toEqual([`${digest} ${bytes.length} blob`]);
  expect(await rig.files.isHeld(digest)).toBe(false);
  expect(rig.files.mismatches.has(digest)).toBe(true);
});

test('what the disk does not let go counts as not held, until another file is in its place', async () => {
  const rig = await Rig.create();
  await mkdir(rig.path, { recursive: true });
  await writeFile(rig.store.layout.quarantineFolder, 'in the way');
  expect(await rig.isOpened()).toBe(false);
  expect(await rig.files.isHeld(digest)).toBe(false);
  expect(await rig.files.sizeOf(digest)).toBeUndefined();
  expect(rig.removed).toEqual([]);
  expect(rig.store.recorder.logged.join()).toContain('does not let it go');
  await rm(rig.path, { recursive: true });
  await rig.store.store.put(digest, bytes);
  expect(await rig.isOpened()).toBe(true);
  expect(await rig.files.isHeld(digest)).toBe(true);
});

test('a process that is short of descriptors does not blame the file', async () => {
  const rig = await Rig.create();
  await rig.store.store.put(digest, bytes);
  const held = await rig.store.store.open(digest);
  onTestFinished(() => held?.close());
  await rig.files.bad.unreadable(digest, undefined, 'blob', new StoreError('open', 'EMFILE', 'injected'));
  expect(await rig.files.isHeld(digest)).toBe(false); // for this request: it is fetched
  expect(rig.removed).toEqual([]);
  expect(await rig.isOpened()).toBe(true);
  expect(await rig.files.isHeld(digest)).toBe(true);
});

test('the same client asks for the same blob again within a minute', async () => {
  const { files, clock } = await Rig.create();
  const [a, b] = [digestWith('a'), digestWith('b')];
  expect(files.noteRequest('10.0.0.1', a)).toBe(false);
  expect(files.noteRequest('10.0.0.1', b)).toBe(false);
  expect(files.noteRequest('10.0.0.2', a)).toBe(false);
  clock.advance(60_000);
  expect(files.noteRequest('10.0.0.1', a)).toBe(true);
  clock.advance(60_000);
  expect(files.noteRequest('10.0.0.1', a)).toBe(true); // of the last time, not of the first
  clock.advance(60_001);
  expect(files.noteRequest('10.0.0.1', a)).toBe(false);
});
