/** Blobs on a real disk: what is held, how it gets there, and what a crash may leave. */
import { mkdir, open, readFile, stat, symlink, truncate, unlink, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { digestOf } from '../../../../src/oci/digest.ts';
import type { ScannedBlob } from '../../../../src/store/blobs/blob-store.ts';
import { BlobStore } from '../../../../src/store/blobs/blob-store.ts';
import { StoreLayout } from '../../../../src/store/layout.ts';
import { Recorder } from '../../../support/recorder.ts';
import { filesUnder, tempDir } from '../../../support/temp-dir.ts';

async function openStore(path?: string) {
  const layout = await StoreLayout.open(path ?? (await tempDir()));
  const recorder = new Recorder();
  return { layout, recorder, store: new BlobStore({ layout, observer: recorder.observer }) };
}

function blob(text: string) {
  const bytes = Buffer.from(text);
  return { bytes, digest: digestOf(bytes) };
}

/** A file under the name of a blob, past the store. */
async function place(layout: StoreLayout, digest: ReturnType<typeof digestOf>, bytes: Uint8Array) {
  await mkdir(dirname(layout.blobPath(digest)), { recursive: true });
  await writeFile(layout.blobPath(digest), bytes);
}

async function collect(scan: AsyncIterable<ScannedBlob>): Promise<ScannedBlob[]> {
  const found: ScannedBlob[] = [];
  for await (const one of scan) found.push(one);
  return found;
}

async function scanned(store: BlobStore): Promise<string[]> {
  return (await collect(store.scan())).map(({ digest, size }) => `${digest} ${size}`).sort();
}

const a = blob('the blob a');
const b = blob('the blob b, a longer one');

describe('putting', () => {
  test('makes a blob held: it opens, has a size and lies under its digest', async () => {
    const { layout, store } = await openStore();
    expect([await store.open(a.digest), await store.sizeOf(a.digest)]).toEqual([undefined, undefined]);
    expect(await store.put(a.digest, a.bytes)).toBe(true);
    expect(await store.sizeOf(a.digest)).toBe(a.bytes.length);
    expect(await readFile(layout.blobPath(a.digest))).toEqual(a.bytes);
    expect(await filesUnder(layout.ingestFolder)).toEqual([]);
    const held = await store.open(a.digest);
    expect(held?.size).toBe(a.bytes.length);
    await held?.close();
  });

  test('over a file of the same length with other bytes replaces it, and counts nothing new', async () => {
    const { layout, store } = await openStore();
    await place(layout, a.digest, Buffer.alloc(a.bytes.length));
    expect(await store.put(a.digest, a.bytes)).toBe(false);
    expect(await readFile(layout.blobPath(a.digest))).toEqual(a.bytes);
  });

  test('once more writes nothing', async () => {
    const { layout, store } = await openStore();
    await store.put(a.digest, a.bytes);
    const { ino } = await stat(layout.blobPath(a.digest));
    expect(await store.put(a.digest, a.bytes)).toBe(false);
    expect((await stat(layout.blobPath(a.digest))).ino).toBe(ino);
  });

  test('many times at once writes it once', async () => {
    const { store } = await openStore();
    const puts = await Promise.all(Array.from({ length: 20 }, () => store.put(a.digest, a.bytes)));
    expect(puts.filter(isNew => isNew)).toHaveLength(1);
  });

  test('an empty blob is held as one of no bytes', async () => {
    const { store } = await openStore();
    const empty = blob('');
    await store.put(empty.digest, empty.bytes);
    expect(await store.sizeOf(empty.digest)).toBe(0);
    expect(await scanned(store)).toEqual([`${empty.digest} 0`]);
    const held = await store.open(empty.digest);
    expect(await held?.read(Buffer.alloc(10), 0)).toBe(0);
    await held?.close();
  });

  test('a put that fails leaves nothing, is told, and the next one works', async () => {
    const { layout, recorder, store } = await openStore();
    await mkdir(join(layout.blobsFolder, 'sha256'));
    await writeFile(dirname(layout.blobPath(a.digest)), 'a file where a folder belongs');
    await expect(store.put(a.digest, a.bytes)).rejects.toMatchObject({
      name: 'StoreError',
      operation: 'rename',
    });
    expect([await filesUnder(layout.ingestFolder), recorder.events]).toEqual([[], ['storeError rename']]);
    await unlink(dirname(layout.blobPath(a.digest)));
    expect(await store.put(a.digest, a.bytes)).toBe(true);
  });
});

describe('committing', () => {
  test('gives the part file its name and drops the journal; the handle goes on', async () => {
    const { layout, store } = await openStore();
    await writeFile(layout.partPath(a.digest), a.bytes);
    await writeFile(layout.journalPath(a.digest), '{}');
    const handle = await open(layout.partPath(a.digest), 'r+');
    onTestFinished(() => handle.close());
    await store.commit(a.digest, handle);
    expect(await filesUnder(layout.ingestFolder)).toEqual([]);
    expect(await store.sizeOf(a.digest)).toBe(a.bytes.length);
    expect((await handle.read(Buffer.alloc(3), 0, 3, 0)).bytesRead).toBe(3);
  });

  test('that fails leaves part and journal, so that nothing has to come over the wire again', async () => {
    const { layout, recorder, store } = await openStore();
    await writeFile(layout.partPath(a.digest), a.bytes);
    await writeFile(layout.journalPath(a.digest), '{}');
    await writeFile(join(layout.blobsFolder, 'sha256'), 'a file where a folder belongs');
    const handle = await open(layout.partPath(a.digest), 'r+');
    onTestFinished(() => handle.close());
    await expect(store.commit(a.digest, handle)).rejects.toMatchObject({ operation: 'rename' });
    expect(await filesUnder(layout.ingestFolder)).toHaveLength(2);
    expect(recorder.events).toEqual(['storeError rename']);
  });

  test('whose folder cannot be synced has happened all the same, and is reported; a put too', async () => {
    const { layout, recorder, store } = await openStore();
    await writeFile(layout.partPath(a.digest), a.bytes);
    const handle = await open(layout.partPath(a.digest), 'r+');
    onTestFinished(() => handle.close());
    for (const { digest } of [a, b]) await mkdir(dirname(layout.blobPath(digest)), { recursive: true });
    const fault = Object.assign(new Error('injected'), { code: 'EIO' });
    const sync = vi.spyOn(Object.getPrototypeOf(handle), 'sync').mockRejectedValue(fault); // files are datasynced
    onTestFinished(() => sync.mockRestore());
    await store.commit(a.digest, handle);
    expect(await store.put(b.digest, b.bytes)).toBe(true); // new, so that it is counted
    expect([await store.sizeOf(a.digest), await store.sizeOf(b.digest)]).toEqual([
      a.bytes.length,
      b.bytes.length,
    ]);
    expect(recorder.events).toEqual(['storeError sync', 'storeError sync']);
  });

  test('needs no journal', async () => {
    const { layout, recorder, store } = await openStore();
    await writeFile(layout.partPath(a.digest), a.bytes);
    const handle = await open(layout.partPath(a.digest), 'r+');
    onTestFinished(() => handle.close());
    await store.commit(a.digest, handle);
    expect([await store.sizeOf(a.digest), recorder.events]).toEqual([a.bytes.length, []]);
  });
});

describe('what a crash may leave', () => {
  test('a hollow file is not held: not opened, not sized, not counted; the next put replaces it', async () => {
    const { layout, store } = await openStore();
    await place(layout, a.digest, Buffer.alloc(0));
    expect([await store.open(a.digest), await store.sizeOf(a.digest), await scanned(store)]).toEqual([
      undefined,
      undefined,
      [],
    ]);
    expect(await store.put(a.digest, a.bytes)).toBe(true);
    expect(await readFile(layout.blobPath(a.digest))).toEqual(a.bytes);
  });

  test('a file of another size than the bytes put is replaced', async () => {
    const { layout, store } = await openStore();
    await place(layout, a.digest, a.bytes.subarray(0, 3));
    expect(await store.put(a.digest, a.bytes)).toBe(true);
    expect(await readFile(layout.blobPath(a.digest))).toEqual(a.bytes);
  });

  test('temp files and parts are no blobs', async () => {
    const { layout, store } = await openStore();
    await writeFile(layout.tempPath(), a.bytes);
    await writeFile(layout.partPath(a.digest), a.bytes);
    expect([await store.sizeOf(a.digest), await scanned(store)]).toEqual([undefined, []]);
  });
});

describe('removing', () => {
  test('frees the bytes once; who reads goes on', async () => {
    const { store } = await openStore();
    await store.put(a.digest, a.bytes);
    const held = await store.open(a.digest);
    expect([await store.remove(a.digest), await store.remove(a.digest)]).toEqual([a.bytes.length, 0]);
    expect(await store.open(a.digest)).toBeUndefined();
    const into = Buffer.alloc(100);
    expect(await held?.read(into, 4)).toBe(a.bytes.length - 4);
    expect(into.subarray(0, a.bytes.length - 4)).toEqual(a.bytes.subarray(4));
    await held?.close();
  });

  test('that fails is told and thrown', async () => {
    const { layout, recorder, store } = await openStore();
    await mkdir(layout.blobPath(a.digest), { recursive: true });
    await expect(store.remove(a.digest)).rejects.toMatchObject({ name: 'StoreError', operation: 'unlink' });
    expect(recorder.events).toEqual(['storeError unlink']);
  });
});

describe('the scan', () => {
  test('finds every blob with its size and last use, and passes over what is none', async () => {
    const { layout, store, recorder } = await openStore();
    const sha512 = digestOf(b.bytes, 'sha512');
    await store.put(a.digest, a.bytes);
    await store.put(sha512, b.bytes);
    await store.setLastUse(a.digest, 1_234_567_890_000);
    const folder = dirname(layout.blobPath(a.digest));
    await writeFile(join(folder, 'notes.txt'), 'foreign');
    await writeFile(join(layout.blobsFolder, 'sha256', 'stray'), 'foreign');
    await mkdir(join(layout.blobsFolder, 'sha256', 'zz'));
    await writeFile(join(layout.blobsFolder, 'sha256', 'zz', a.digest.slice(7)), 'under the wrong digits');
    await mkdir(join(folder, `${a.digest.slice(7, 9)}${'0'.repeat(62)}`));
    const found = await collect(store.scan());
    expect(found.map(({ digest, size }) => `${digest} ${size}`).sort()).toEqual(
      [`${a.digest} ${a.bytes.length}`, `${sha512} ${b.bytes.length}`].sort(),
    );
    expect(found.find(({ digest }) => digest === a.digest)?.mtimeMs).toBe(1_234_567_890_000);
    expect(recorder.events).toEqual([]);
  });

  test('of an empty store finds nothing', async () => {
    const { store } = await openStore();
    expect(await scanned(store)).toEqual([]);
  });

  test('leaves out what is put while it runs, and only then', async () => {
    const { layout, store } = await openStore();
    const [first, second] = [a, b].sort((one, other) => (one.digest < other.digest ? -1 : 1));
    if (first === undefined || second === undefined) throw new Error('two blobs');
    await store.put(first.digest, first.bytes);
    await mkdir(dirname(layout.blobPath(second.digest)), { recursive: true });
    const scan = store.scan();
    expect((await scan.next()).value?.digest).toBe(first.digest);
    await store.put(second.digest, second.bytes); // its folder is not read yet
    expect(await collect(scan)).toEqual([]);
    expect(await scanned(store)).toHaveLength(2);
  });

  test('finds many in a folder, whatever vanishes meanwhile', async () => {
    const { layout, store } = await openStore();
    const folder = join(layout.blobsFolder, 'sha256', 'ab');
    await mkdir(folder, { recursive: true });
    const files = Array.from({ length: 30 }, (_, n) => join(folder, `ab${String(n).padStart(62, '0')}`));
    await Promise.all(files.map(file => writeFile(file, 'x')));
    const scan = store.scan();
    await scan.next();
    await Promise.all(files.map(file => unlink(file)));
    const rest = await collect(scan);
    expect(rest.length).toBeLessThan(files.length - 1);
  });
});

describe('a held blob', () => {
  test('fills a buffer from any offset, up to the end and not beyond', async () => {
    const { store } = await openStore();
    await store.put(b.digest, b.bytes);
    const held = await store.open(b.digest);
    const into = Buffer.alloc(8);
    expect(await held?.read(into, 2)).toBe(8);
    expect(into).toEqual(b.bytes.subarray(2, 10));
    expect([await held?.read(into, b.bytes.length - 3), await held?.read(into, b.bytes.length)]).toEqual([
      3, 0,
    ]);
    expect(await held?.read(into, b.bytes.length + 1000)).toBe(0);
    await held?.close();
  });

  test('that was cut short fails as truncated instead of ending early', async () => {
    const { layout, store, recorder } = await openStore();
    await store.put(b.digest, b.bytes);
    const held = await store.open(b.digest);
    await truncate(layout.blobPath(b.digest), 5);
    await expect(held?.read(Buffer.alloc(10), 0)).rejects.toMatchObject({
      operation: 'read',
      code: 'TRUNCATED',
    });
    expect(recorder.events).toEqual(['storeError read']);
    await held?.close();
  });

  test('closes once, and a read of it is refused then, also the one that ran', async () => {
    const { store } = await openStore();
    await store.put(a.digest, a.bytes);
    const held = await store.open(a.digest);
    const reading = held?.read(Buffer.alloc(4), 0);
    const closing = [held?.close(), held?.close()];
    await expect(reading).rejects.toMatchObject({ code: 'CLOSED' });
    await Promise.all(closing);
    await expect(held?.read(Buffer.alloc(4), 0)).rejects.toMatchObject({ code: 'CLOSED' });
  });
});

test('the last use of a blob is kept on disk, and of one that is not held nowhere', async () => {
  const { layout, store, recorder } = await openStore();
  await store.put(a.digest, a.bytes);
  await utimes(layout.blobPath(a.digest), 1, 1);
  await store.setLastUse(a.digest, 1_700_000_000_123);
  await store.setLastUse(b.digest, 1_700_000_000_123);
  const held = await store.open(a.digest);
  expect(held?.mtimeMs).toBeCloseTo(1_700_000_000_123, 0);
  await held?.close();
  expect([await store.sizeOf(b.digest), recorder.events]).toEqual([undefined, []]);
});

test('a symlink in the place of a blob is not followed: opening it is an error, and it has no size', async () => {
  const { layout, store, recorder } = await openStore();
  await mkdir(dirname(layout.blobPath(a.digest)), { recursive: true });
  await symlink(layout.blobPath(a.digest), layout.blobPath(a.digest)); // ELOOP
  await expect(store.open(a.digest)).rejects.toMatchObject({ operation: 'open', code: 'ELOOP' });
  expect(await store.sizeOf(a.digest)).toBeUndefined();
  expect(recorder.events).toEqual(['storeError open']);
});

test('the disk tells what is free of it', async () => {
  const { store } = await openStore();
  const { free, total } = await store.freeBytes();
  expect(free).toBeGreaterThan(0);
  expect(total).toBeGreaterThanOrEqual(free);
});
