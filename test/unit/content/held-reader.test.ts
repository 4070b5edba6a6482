/** One held file on its way to a client, with a file that fails where the test says and a check that ends when it says. */
import { expect, test } from 'vitest';
import type { BlobCheck, CheckResult } from '../../../src/content/blob-checks.ts';
import { HeldReader } from '../../../src/content/held-reader.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import type { BlobReader } from '../../../src/registry/registry.ts';
import { MismatchError, StoreError } from '../../../src/store/store-error.ts';
import { deferred } from '../../support/gates.ts';
import { isPending } from '../cached/rig.ts';

const content = Buffer.from('0123456789');
const digest = digestOf(content);
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
  readonly #verdict = deferred<CheckResult>();
  readonly verdict = this.#verdict.promise;
  known: CheckResult | undefined;

  end(verdict: CheckResult): void {
    this.known = verdict;
    this.#verdict.resolve(verdict);
  }
}

function rig(held: MemoryReader, check?: BlobCheck, replacement: BlobReader = new MemoryReader()) {
  const events: string[] = [];
  const reader = new HeldReader({
    digest,
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
  const { reader, events } = rig(held);
  expect(await readAll(reader)).toEqual({ text: '0123456789' });
  expect([held.reads, events]).toEqual([4, []]);
  await reader.close();
  expect(held.closed).toBe(1);
});

test('a file that cannot be read is replaced when no byte is out', async () => {
  const { reader, events } = rig(new MemoryReader(content, 0));
  expect(await readAll(reader)).toEqual({ text: '0123456789' });
  expect(events).toEqual(['EIO', 'replaced']);
});

test('in the middle of a range that began elsewhere too', async () => {
  const { reader, events } = rig(new MemoryReader(content, 6));
  expect(await readAll(reader, 6)).toEqual({ text: '6789' });
  expect(events).toEqual(['EIO', 'replaced']);
});

test('a read that fails when bytes are out ends the body: they can be compared with nothing', async () => {
  const { reader, events } = rig(new MemoryReader(content, 8));
  expect(await readAll(reader)).toEqual({ text: '01234567', error: eio });
  expect(events).toEqual(['EIO']);
});

test('while the check runs all but the last byte goes out', async () => {
  const check = new HandCheck();
  const { reader } = rig(new MemoryReader(), check);
  const into = Buffer.alloc(20);
  expect(await reader.read(into, 0)).toBe(9);
  const last = reader.read(into, 9);
  expect(await isPending(last)).toBe(true);
  check.end('good');
  expect(await last).toBe(1);
  expect(await reader.read(into, 10)).toBe(0);
});

test.each(['bad', 'stopped'] as const)(
  'a check that ends %s: the last byte never goes out',
  async verdict => {
    const check = new HandCheck();
    const { reader, events } = rig(new MemoryReader(), check);
    const all = readAll(reader);
    expect(await isPending(all)).toBe(true);
    check.end(verdict);
    expect(await all).toEqual({ text: '012345678', error: new MismatchError(digest) });
    expect(events).toEqual([]);
  },
);

test('found bad before the first byte: another reader takes over', async () => {
  const check = new HandCheck();
  check.end('bad');
  const { reader, events } = rig(new MemoryReader(Buffer.from('wrongwrong')), check);
  expect(await readAll(reader)).toEqual({ text: '0123456789' });
  expect(events).toEqual(['replaced']);
});

test('found bad in the middle: not a byte more', async () => {
  const check = new HandCheck();
  const { reader } = rig(new MemoryReader(), check);
  expect(await reader.read(Buffer.alloc(4), 0)).toBe(4);
  check.end('bad');
  await expect(reader.read(Buffer.alloc(4), 4)).rejects.toThrow(MismatchError);
});

test('found good in the middle: nothing is held back any more', async () => {
  const check = new HandCheck();
  const { reader } = rig(new MemoryReader(), check);
  await reader.read(Buffer.alloc(4), 0);
  check.end('good');
  expect(await reader.read(Buffer.alloc(20), 4)).toBe(6);
});

test('closed while another reader is opened: that one is closed too', async () => {
  const opened = deferred<BlobReader>();
  const replacement = new MemoryReader();
  const held = new MemoryReader(content, 0);
  const reader = new HeldReader({
    digest,
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
  const { reader, events } = rig(
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
