/** Held files that are opened, set aside or asked for again; and one on its way to a client while its check runs. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';
import type { BlobCheck, CheckResult } from '../../../src/content/blob-checks.ts';
import { HeldFiles, HeldReader } from '../../../src/content/held-files.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import type { BlobReader } from '../../../src/registry/registry.ts';
import { Quarantine } from '../../../src/store/blobs/quarantine.ts';
import { MismatchError, StoreError } from '../../../src/store/store-error.ts';
import { deferred } from '../../support/gates.ts';
import { digestWith, HandClock, isPending } from '../cached/rig.ts';
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

test('a file of the length that the index has, or of an unknown one, is opened', async () => {
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
  expect(await rig.files.isHeld(digest)).toBe(true); // the moment has passed
  expect(await rig.files.sizeOf(digest)).toBe(bytes.length);
  expect(rig.removed).toEqual([]);
  expect(await rig.isOpened()).toBe(true);
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

const content = Buffer.from('0123456789');
const contentDigest = digestOf(content);
const eio = new StoreError('read', 'EIO', 'injected');

class MemoryReader implements BlobReader {
  readonly preferredBytes = 4;
  readonly size = content.length;
  readonly #bytes: Buffer;
  readonly #failAt: number;
  reads = 0;
  closed = 0;

  constructor(bytes = content, failAt = Number.POSITIVE_INFINITY) {
    this.#bytes = bytes;
    this.#failAt = failAt;
  }

  async read(into: Buffer, at: number): Promise<number> {
    this.reads += 1;
    if (at >= this.#failAt) throw eio;
    return this.#bytes.copy(into, 0, at);
  }

  async close(): Promise<void> {
    this.closed += 1;
  }
}

class HandCheck implements BlobCheck {
  readonly #result = deferred<CheckResult>();
  readonly result = this.#result.promise;
  known: CheckResult | undefined;

  end(result: CheckResult): void {
    this.known = result;
    this.#result.resolve(result);
  }
}

function readerOver(held: MemoryReader, check?: BlobCheck, replacement: BlobReader = new MemoryReader()) {
  const events: string[] = [];
  const reader = new HeldReader({
    digest: contentDigest,
    held,
    check,
    unreadable: async error => void events.push(error.code),
    replace: async () => {
      events.push('replaced');
      return replacement;
    },
  });
  return { reader, events };
}

/** What a client gets that reads in steps of four bytes, and how it ended. */
async function readAll(reader: BlobReader, from = 0): Promise<{ text: string; error?: unknown }> {
  const into = Buffer.alloc(4);
  let text = '';
  try {
    for (let at = from; ; ) {
      const count = await reader.read(into, at);
      if (count === 0) return { text };
      text += into.subarray(0, count).toString();
      at += count;
    }
  } catch (error) {
    return { text, error };
  }
}

test('without a check it is the file and nothing else: a read for each buffer', async () => {
  const held = new MemoryReader();
  const { reader, events } = readerOver(held);
  expect(await readAll(reader)).toEqual({ text: '0123456789' });
  expect([held.reads, events]).toEqual([4, []]);
  await reader.close();
  expect(held.closed).toBe(1);
});

test('a file that cannot be read is replaced when no byte is out', async () => {
  const { reader, events } = readerOver(new MemoryReader(content, 0));
  expect(await readAll(reader)).toEqual({ text: '0123456789' });
  expect(events).toEqual(['EIO', 'replaced']);
});

test('in the middle of a range that began elsewhere too', async () => {
  const { reader, events } = readerOver(new MemoryReader(content, 6));
  expect(await readAll(reader, 6)).toEqual({ text: '6789' });
  expect(events).toEqual(['EIO', 'replaced']);
});

test('a read that fails when bytes are out ends the body: they can be compared with nothing', async () => {
  const { reader, events } = readerOver(new MemoryReader(content, 8));
  expect(await readAll(reader)).toEqual({ text: '01234567', error: eio });
  expect(events).toEqual(['EIO']);
});

test('while the check runs all but the last byte goes out', async () => {
  const check = new HandCheck();
  const { reader } = readerOver(new MemoryReader(), check);
  const into = Buffer.alloc(20);
  expect(await reader.read(into, 0)).toBe(9);
  const last = reader.read(into, 9);
  expect(await isPending(last)).toBe(true);
  check.end('good');
  expect(await last).toBe(1);
  expect(await reader.read(into, 10)).toBe(0);
});

test.each(['bad', 'stopped'] as const)('a check that ends %s: the last byte never goes out', async result => {
  const check = new HandCheck();
  const { reader, events } = readerOver(new MemoryReader(), check);
  const all = readAll(reader);
  expect(await isPending(all)).toBe(true);
  check.end(result);
  expect(await all).toEqual({ text: '012345678', error: new MismatchError(contentDigest) });
  expect(events).toEqual([]);
});

test('found bad before the first byte: another reader takes over', async () => {
  const check = new HandCheck();
  check.end('bad');
  const { reader, events } = readerOver(new MemoryReader(Buffer.from('wrongwrong')), check);
  expect(await readAll(reader)).toEqual({ text: '0123456789' });
  expect(events).toEqual(['replaced']);
});

test('found bad in the middle: not a byte more', async () => {
  const check = new HandCheck();
  const { reader } = readerOver(new MemoryReader(), check);
  expect(await reader.read(Buffer.alloc(4), 0)).toBe(4);
  check.end('bad');
  await expect(reader.read(Buffer.alloc(4), 4)).rejects.toThrow(MismatchError);
});

test('found good in the middle: nothing is held back any more', async () => {
  const check = new HandCheck();
  const { reader } = readerOver(new MemoryReader(), check);
  await reader.read(Buffer.alloc(4), 0);
  check.end('good');
  expect(await reader.read(Buffer.alloc(20), 4)).toBe(6);
});

test('closed while another reader is opened: that one is closed too', async () => {
  const opened = deferred<BlobReader>();
  const replacement = new MemoryReader();
  const held = new MemoryReader(content, 0);
  const reader = new HeldReader({
    digest: contentDigest,
    held,
    check: undefined,
    unreadable: async () => {},
    replace: () => opened.promise,
  });
  const read = reader.read(Buffer.alloc(4), 0);
  const failed = expect(read).rejects.toThrow('closed');
  expect(await isPending(read)).toBe(true);
  await reader.close();
  opened.resolve(replacement);
  await failed;
  expect([held.closed, replacement.closed, replacement.reads]).toEqual([1, 1, 0]);
});

test('an error that comes of its being closed is no fault of the file', async () => {
  const gate = deferred<void>();
  const held = new MemoryReader(content, 0);
  const { reader, events } = readerOver(
    Object.assign(held, {
      read: () => gate.promise.then(() => Promise.reject(eio)),
    }),
  );
  const read = reader.read(Buffer.alloc(4), 0);
  const failed = expect(read).rejects.toBe(eio);
  await reader.close();
  gate.resolve();
  await failed;
  expect(events).toEqual([]);
});
